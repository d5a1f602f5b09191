"""Run one detector: batches, concurrency, deadlines, retries, and its results as runs."""
