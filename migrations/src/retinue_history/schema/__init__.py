"""Declare the schema, migrate a database to it, and check which revision it is at."""
