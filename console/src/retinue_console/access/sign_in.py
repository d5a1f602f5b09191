"""Ways to sign in: a request becomes an identity."""

import getpass
from typing import Protocol

from starlette.requests import HTTPConnection

from retinue_console.access.identity import Identity, Right


class SignIn(Protocol):
    """A way to sign in."""

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Return who sent a request; ``None`` if nobody is signed in."""


class NoSignIn:
    """Everyone who reaches the console is the system's user, with all rights.

    The console then listens on the loopback interface only and checks the Host header.
    """

    def __init__(self) -> None:
        login = _system_user()
        self._identity = Identity(login, login, frozenset(Right))

    def identify(self, request: HTTPConnection) -> Identity:
        """Return the system's user."""
        del request
        return self._identity


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return "local"
