"""Identities and their rights, sign-in, and checks of every request."""
