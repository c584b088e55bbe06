"""Turns of graphs, swarms and other orchestrators: the agent they pass for, their nodes, what a run came to."""
