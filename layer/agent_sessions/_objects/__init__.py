"""A session kept as objects: its repository, the writer of its turns, its derived copies."""
