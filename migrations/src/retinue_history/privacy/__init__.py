"""Erase people and images on request, and keep what was erased from coming back."""
