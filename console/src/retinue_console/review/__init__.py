"""Reviewing: queues, the page on which a person answers, and decisions about many images."""
