"""One agent's conversation in memory: restoring it, adding to it, and what it asks of a repository."""
