"""A TCP port on this machine that leads to a Unix socket which only root may open."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def relay(path: Path) -> Iterator[int]:
    """Lead whoever connects to the port that is given to the socket, both ways."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, path), daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)  # wakes accept()
    thread.join(timeout=10)


def _accept(server: socket.socket, path: Path) -> None:
    while True:
        try:
            outer, _ = server.accept()
        except OSError:  # the port is closed
            return
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(str(path))
        for one, other in ((outer, inner), (inner, outer)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
