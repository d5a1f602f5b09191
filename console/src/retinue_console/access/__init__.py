"""Identities and their rights, and checks of every request."""
