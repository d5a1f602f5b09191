"""Commit results in groups, and tell observers what was committed."""
