"""The parts of the deployment, one construct a capability."""
