"""``retinue plugins check``: a detector checked in a process of its own, which it may take down.

``order.py`` says what is to be checked, ``child.py`` is what runs in the process, ``process.py`` is
who starts it and hears of it, and ``bucket.py`` puts pictures where a service can read them.
"""
