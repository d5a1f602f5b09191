"""The name of who works without signing in."""

import getpass


def system_user() -> str:
    """Return the name of the system's user; ``local`` if there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return "local"
