"""Who is asking: an IAM principal, a user of an identity pool, the bearer of a token, or somebody they speak for."""
