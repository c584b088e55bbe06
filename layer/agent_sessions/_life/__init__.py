"""How a session begins, is found, is kept young, expires and ends."""
