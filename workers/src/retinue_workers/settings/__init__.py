"""Define all settings of a worker, in environment variables and JSON."""
