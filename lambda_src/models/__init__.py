"""The agent's models: how one is built, and what it is asked with when it refuses what it is shown."""
