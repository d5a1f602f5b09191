"""Decide which images a detector receives, by the conditions in the settings.

``router.py`` answers for one task, ``decide.py`` is the pure decision, and ``object_metadata.py``
asks S3; ``settings/routes.py`` parses the conditions.
"""
