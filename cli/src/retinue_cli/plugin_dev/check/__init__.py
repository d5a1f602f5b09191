"""Check a detector in a separate process, for ``retinue plugins check``.

``request.py`` describes the check, ``child.py`` runs in the process, ``process.py`` starts it and
collects the results, and ``bucket.py`` stores pictures where a service can read them.
"""
