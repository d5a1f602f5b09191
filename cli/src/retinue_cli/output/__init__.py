"""Print results: tables, charts, pictures and progress."""
