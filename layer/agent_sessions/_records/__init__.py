"""Records in an object store: their keys, their format, and their conditional writes."""
