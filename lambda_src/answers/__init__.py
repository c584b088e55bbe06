"""What can go wrong, how the caller is told, and what the log says."""
