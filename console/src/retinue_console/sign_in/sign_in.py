"""Ways to sign in: a request becomes an identity."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from retinue_cli.options.system_user import system_user
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from retinue_console.access.guard import LOOPBACK_HOSTS
from retinue_console.access.identity import Identity, Right
from retinue_console.page import Page

Render = Callable[[Request, Page[Any]], Response]
"""Turns a page into HTML, for a request without a sign-in."""

log = logging.getLogger(__name__)


class SignIn(ABC):
    """A way to sign in."""

    hosts: ClassVar[Collection[str] | None] = None
    """The host names that requests may be for; ``None`` for any."""

    advice: ClassVar[str] = "Sign in first."
    """The answer to a person who isn't signed in."""

    sign_out: ClassVar[str | None] = None
    """The path to send a POST to, to sign out; ``None`` where that is up to a proxy."""

    @abstractmethod
    def identify(self, request: HTTPConnection) -> Identity | None:
        """Return the sender of a request; ``None`` without a sign-in. It may block."""

    def routes(self, render: Render) -> Sequence[Route]:
        """Return the routes that signing in takes."""
        del render
        return ()

    def entrance(self, request: Request) -> str | None:
        """Return the address of the sign-in for a browser; ``None`` to refuse it instead."""
        del request
        return None


class NoSignIn(SignIn):
    """Everyone who reaches the console is the system's user, with all rights.

    The console then listens on the loopback interface only and checks the Host header.
    """

    hosts = LOOPBACK_HOSTS

    def __init__(self) -> None:
        login = system_user()
        self._identity = Identity(login, login, frozenset(Right))

    def identify(self, request: HTTPConnection) -> Identity:
        """Return the system's user."""
        del request
        return self._identity


def note_refusal(reason: str) -> None:
    """Log why a request has no valid sign-in. Its sender learns only that it has none."""
    log.warning("sign_in_refused: %s", reason)
