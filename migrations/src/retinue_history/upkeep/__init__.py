"""Maintain the history: add monthly partitions, and delete data past its retention."""
