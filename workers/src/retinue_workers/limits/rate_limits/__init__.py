"""Share a quota among the workers that use it."""
