"""Detectors in processes of their own, which may crash, leak or hang without harm to the worker.

``detector.py`` stands in for the detector, ``process.py`` is one process, ``child.py`` is what runs
in it, ``wire.py`` is what the two say to each other, and ``terms.py`` what the settings say.
"""
