"""Define everything a user can set, in environment variables and JSON."""
