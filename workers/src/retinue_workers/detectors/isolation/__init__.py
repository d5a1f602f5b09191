"""Detectors in separate processes, which may crash, leak or hang without affecting the worker.

The worker calls ``proxy.py``. ``supervisor.py`` starts and kills the processes, ``process.py`` is
one process, ``child.py`` runs in it, and ``protocol.py`` defines the messages. ``child_process.py``
and ``supervisor.py`` also serve the decoder of videos.
"""
