"""Erase people and images on request, and prevent their return."""
