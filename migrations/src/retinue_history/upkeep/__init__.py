"""Maintain the history: add monthly partitions and delete what is past its retention."""
