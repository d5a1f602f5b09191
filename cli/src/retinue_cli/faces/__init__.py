"""Enrol and forget people in face collections: ``retinue faces``; it imports no plugin."""
