"""What runs in the endpoint's function. A request goes handler, routes, caller, turn, agent, and back as a reply."""
