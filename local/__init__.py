"""The endpoint on this machine: the same handler, without an AWS account and without Docker."""
