"""A turn that outlives its request: its id, what became of it, and following it from any process."""
