"""Commit results in groups, and call observers of the committed runs."""
