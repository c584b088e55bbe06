"""Stand-ins for what the kit talks to: models, Bedrock, S3."""
