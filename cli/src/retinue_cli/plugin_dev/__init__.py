"""Help authors of plugins: create a plugin from a template, and check it."""
