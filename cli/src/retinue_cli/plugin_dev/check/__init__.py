"""Check a detector in a process of its own: ``retinue plugins check``.

``request.py`` says what is to be checked, ``child.py`` runs in the process, ``process.py`` starts
it and collects the results, and ``bucket.py`` puts pictures where a service can read them.
"""
