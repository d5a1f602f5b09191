"""Run a detector in a process of its own, so that a crash, leak or hang cannot harm the worker.

``proxy.py`` stands in for the detector, ``process.py`` is one process, ``child.py`` runs in it,
``protocol.py`` is what they send each other, and ``supervisor.py`` starts them;
``settings/isolation.py`` holds the settings.
"""
