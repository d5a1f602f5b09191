"""Help authors of plugins: write a first plugin from a template, check a finished one."""
