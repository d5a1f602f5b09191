"""Many HTTP calls at once on one thread, by libcurl's multi interface."""

import logging
import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import Any, TypeAlias

import pycurl

log = logging.getLogger(__name__)

Ended: TypeAlias = Callable[[tuple[int, str] | None], None]
"""Told how a call ended: ``None`` if there is an answer, or else libcurl's error code and text."""

_EVENTS = {
    pycurl.POLL_IN: select.POLLIN,  # epoll has the same numbers
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}
_ACTIONS = (
    (select.POLLIN, pycurl.CSELECT_IN),
    (select.POLLOUT, pycurl.CSELECT_OUT),
    (select.POLLERR | select.POLLHUP, pycurl.CSELECT_ERR),
)


class CallLoop:
    """Has libcurl make calls side by side, on a thread of its own. Safe to use from any thread.

    With a thread for each call, each would be woken for every piece of its answer, and wait for the
    interpreter's lock every time: at hundreds of calls a second that costs more than the calls do.

    Args:
        connections: Most connections that stay open while nobody uses them.
    """

    def __init__(self, connections: int) -> None:
        """Start nothing yet."""
        self._connections = connections
        self._lock = Lock()
        self._new: deque[pycurl.Curl] = deque()
        self._under_way: dict[pycurl.Curl, Ended] = {}
        self._round: _Round | None = None
        self._closing = False

    def send(self, curl: pycurl.Curl, ended: Ended) -> None:
        """Have a call made.

        Args:
            curl: All that is to be known of it; nobody else may use it meanwhile.
            ended: Told of its end, once, on the loop's thread, which it must not keep waiting.
        """
        with self._lock:
            self._under_way[curl] = ended
            self._new.append(curl)
            self._closing = False
            if self._round is None:
                self._round = _Round(self._connections)
                Thread(target=self._run, args=[self._round], name="aws-calls", daemon=True).start()
            else:
                self._round.wake()

    def close(self) -> None:
        """Close the connections, and end the thread, as soon as no call is under way.

        Whoever sends another one nevertheless starts it anew.
        """
        with self._lock:
            self._closing = True
            if self._round is not None:
                self._round.wake()

    def _run(self, round_: "_Round") -> None:
        try:
            while self._turn(round_):
                pass
        except Exception as error:  # out of memory or of descriptors: it may pass
            log.exception("calls are given up")
            with self._lock:
                given_up = dict(self._under_way)
                self._under_way.clear()
                self._new.clear()
                self._round = None
            for curl in given_up:
                round_.drop(curl)
            round_.close()
            for ended in given_up.values():
                _tell(ended, (pycurl.E_FAILED_INIT, f"{type(error).__name__}: {error}"))

    def _turn(self, round_: "_Round") -> bool:
        """Begin what is new and tell what has ended; ``False`` if that was all."""
        with self._lock:
            new = list(self._new)
            self._new.clear()
            if self._closing and not self._under_way:
                self._round = None
                round_.close()
                return False
            round_.rest(not new)
        for curl in new:
            round_.add(curl)
        for curl, error in round_.work():
            _tell(self._under_way.pop(curl), error)
        return True


def _tell(ended: Ended, error: tuple[int, str] | None) -> None:
    try:
        ended(error)
    except BaseException:  # whatever it is, it must not end the thread
        log.exception("the end of a call could not be told")


class _Round:
    """libcurl's side of the loop. All but ``wake`` is for the loop's thread alone."""

    def __init__(self, connections: int) -> None:
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._due: float | None = None
        self._sockets: set[int] = set()
        # epoll looks only at sockets that have something to say; macOS has none.
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._units_per_second = 1 if hasattr(select, "epoll") else 1_000
        self._woken, self._wake = os.pipe()
        self._resting = False
        self._poll.register(self._woken, select.POLLIN)

    def wake(self) -> None:
        """Let it rest no longer; the loop's lock is held."""
        if self._resting:
            self._resting = False
            os.write(self._wake, b"!")

    def rest(self, resting: bool) -> None:
        """Say whether there is time until ``wake``; the loop's lock is held."""
        self._resting = resting

    def add(self, curl: pycurl.Curl) -> None:
        """Begin a call."""
        self._multi.add_handle(curl)

    def drop(self, curl: pycurl.Curl) -> None:
        """Let go of a call, whether it has begun or not."""
        with suppress(pycurl.error):
            self._multi.remove_handle(curl)

    def work(self) -> list[tuple[pycurl.Curl, tuple[int, str] | None]]:
        """Wait until something happens, see to it, and tell which calls ended, and how."""
        rest = None if self._due is None else max(0.0, self._due - monotonic())
        events = self._poll.poll(None if rest is None else rest * self._units_per_second)
        for socket, event in events:
            if socket == self._woken:
                os.read(socket, 1)
                continue
            actions = sum(action for bits, action in _ACTIONS if event & bits)
            self._multi.socket_action(socket, actions)
        if self._due is not None and self._due <= monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        ended: list[tuple[pycurl.Curl, tuple[int, str] | None]] = []
        _, well, badly = self._multi.info_read()
        ended += ((curl, None) for curl in well)
        ended += ((curl, (code, text)) for curl, code, text in badly)
        for curl, _ in ended:
            self._multi.remove_handle(curl)
        return ended

    def close(self) -> None:
        """Close the connections."""
        self._multi.close()
        for descriptor in (self._woken, self._wake):
            os.close(descriptor)

    def _watch(self, events: int, socket: int, multi: object, data: object) -> None:
        """Libcurl wants to know when a socket can be read or written."""
        del multi, data
        if events == pycurl.POLL_REMOVE:
            self._sockets.discard(socket)
            self._poll.unregister(socket)
        elif socket in self._sockets:
            self._poll.modify(socket, _EVENTS[events])
        else:
            self._sockets.add(socket)
            self._poll.register(socket, _EVENTS[events])

    def _set_timer(self, milliseconds: int) -> None:
        """Libcurl wants to be asked after so long; after -1: not at all."""
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1_000
