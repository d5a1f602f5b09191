"""Detectors in processes of their own, which may crash, leak or hang without harm to the worker.

``proxy.py`` is what the worker calls, ``supervisor.py`` starts and kills the processes,
``process.py`` is one process, ``child.py`` runs in it, and ``protocol.py`` is what the two send.
"""
