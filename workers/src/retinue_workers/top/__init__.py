"""A live view of a pool."""
