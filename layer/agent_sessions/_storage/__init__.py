"""Object stores: Amazon S3, files, and how each lets a lease be claimed."""
