"""Pacing: a quota is divided among the workers that use it."""
