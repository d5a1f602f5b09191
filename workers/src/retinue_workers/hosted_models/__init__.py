"""Start models that are billed while they are hosted when work waits, and stop them after."""
