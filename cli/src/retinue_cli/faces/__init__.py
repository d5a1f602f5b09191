"""Enrol and forget people in face collections, for ``retinue faces``. It imports no plugin."""
