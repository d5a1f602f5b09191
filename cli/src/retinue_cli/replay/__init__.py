"""Request images again, or for the first time: failed runs, dead letters, whole buckets."""
