"""Decoding in processes of limited memory and time: files from outside are hostile."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any

from retinue_sdk import ImageLimits, InvalidImageError, RetriableError

SECONDS = 20.0
"""Time limit of decoding one file."""

PROCESSES = 2
"""Number of decoding processes. Each is started when it is first needed."""

PART_BYTES = 2**20
"""Maximum number of bytes of a video that a process gets at a time."""

_REPLY_SECONDS = 20.0
"""How long to wait for the fork server, which imports Pillow and NumPy first."""


class NoVideoDecoderError(Exception):
    """PyAV isn't installed, so videos can't be decoded."""


class Decoder:
    """Turns files into pictures for browsers.

    Args:
        seconds: Time limit for one file.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._server: _ForkServer | None = None
        self._idle: LifoQueue[_Child | None] = LifoQueue()
        for _ in range(PROCESSES):
            self._idle.put(None)

    def encode(
        self,
        data: bytes,
        limits: ImageLimits,
        *,
        longest_px: int,
        most_bytes: int | None = None,
        part: tuple[float, float, float, float] | None = None,
    ) -> bytes:
        """Decode a file and return it as WebP.

        Args:
            data: The file.
            limits: How large it may be.
            longest_px: Maximum width and height.
            most_bytes: Maximum size of the WebP.
            part: Left, top, right and bottom of a part to cut out, as ratios; ``None`` for all.

        Raises:
            InvalidImageError: It can't be decoded within the limits.
            RetriableError: There is no process to decode it in.
        """
        limits.check_bytes(len(data))
        request = {
            "max_px": limits.max_px,
            "longest_px": longest_px,
            "most_bytes": most_bytes,
            "part": part,
        }
        return self._ask(request, data, None)

    def encode_still(
        self,
        read: Callable[[int, int], bytes],
        size_bytes: int,
        at_ms: int,
        limits: ImageLimits,
        *,
        longest_px: int,
        most_bytes: int | None = None,
    ) -> bytes:
        """Decode the frame of a video at a time and return it as WebP.

        Args:
            read: Returns bytes of the file, from an offset on, up to a number.
            size_bytes: The file's size.
            at_ms: The time, in milliseconds.
            limits: Maximum number of pixels of a frame.
            longest_px: Maximum width and height.
            most_bytes: Maximum size of the WebP.

        Raises:
            InvalidImageError: It can't be decoded within the limits.
            NoVideoDecoderError: PyAV isn't installed.
            RetriableError: There is no process to decode it in.
        """
        request = {
            "video_bytes": size_bytes,
            "at_ms": at_ms,
            "max_px": limits.max_px,
            "longest_px": longest_px,
            "most_bytes": most_bytes,
        }
        return self._ask(request, None, read)

    def end_idle(self) -> None:
        """End the processes that have decoded nothing since the last call."""
        found: list[_Child | None] = []
        with suppress(Empty):
            while True:
                found.append(self._idle.get_nowait())
        kept = []
        for child in found:
            if child is not None and child.was_used:
                child.was_used = False
                kept.append(child)
            elif child is not None:
                child.kill()
        if len(found) == PROCESSES and not kept:
            self._end_server()
        for each in [None] * (len(found) - len(kept)) + kept[::-1]:
            self._idle.put(each)

    def close(self) -> None:
        """End the processes."""
        for _ in range(PROCESSES):
            child = self._idle.get()
            if child is not None:
                child.kill()
        self._end_server()

    def _ask(
        self,
        request: dict[str, Any],
        data: bytes | None,
        read: Callable[[int, int], bytes] | None,
    ) -> bytes:
        with self._child() as child:
            answer, picture = child.ask(request, data, read, self._seconds)
        if "no_decoder" in answer:
            raise NoVideoDecoderError
        if problem := answer.get("problem"):
            raise InvalidImageError(problem)
        return picture

    @contextmanager
    def _child(self) -> Iterator["_Child"]:
        child = self._idle.get()
        try:
            if child is None:
                child = self._fork()
            yield child
        finally:
            self._idle.put(child if child is not None and child.is_usable else None)

    def _fork(self) -> "_Child":
        """Start a process.

        Raises:
            RetriableError: It can't be started.
        """
        with self._lock:
            if self._server is not None:
                try:
                    return self._server.fork()
                except OSError:  # it has ended
                    self._server.close()
            try:
                self._server = _ForkServer()
                return self._server.fork()
            except OSError as error:
                raise RetriableError(f"no process to decode the image in: {error}") from error

    def _end_server(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None


class _ForkServer:
    """The process that decoding processes are forked from. They share the memory of its imports.

    Raises:
        OSError: It can't be started.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_REPLY_SECONDS)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [
                    *(sys.executable, "-I", "-m", "retinue_console.pictures.child"),
                    str(theirs.fileno()),
                ],
                env={"OPENBLAS_NUM_THREADS": "1"},  # no credentials; and no threads before a fork
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the console, which then ends it
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()

    def fork(self) -> "_Child":
        """Fork a decoding process.

        Raises:
            OSError: The server has ended, or can't fork.
        """
        ours, theirs = multiprocessing.Pipe()
        try:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
                return _Child(self, self._reply(), ours)
        except OSError:
            ours.close()
            raise

    def kill(self, process_id: int) -> None:
        """End a decoding process. Only its parent knows that the id is still that process's."""
        try:
            with self._lock:
                self._control.sendall(str(process_id).encode())
                self._reply()
        except OSError:
            self.close()

    def close(self) -> None:
        """End the server and all its children."""
        self._control.close()
        if self._process.returncode is None:  # else its id can be another process's
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _reply(self) -> int:
        reply = self._control.recv(32)
        if not reply:
            raise ConnectionResetError("the fork server has ended")
        return int(reply)


class _Child:
    """A process that decodes one file after another.

    Args:
        server: The process that it was forked from.
        process_id: Its id.
        connection: The connection to it.
    """

    def __init__(self, server: _ForkServer, process_id: int, connection: Connection) -> None:
        self._server = server
        self._process_id = process_id
        self._connection = connection
        self.is_usable = True
        self.was_used = True

    def ask(
        self,
        request: dict[str, Any],
        data: bytes | None,
        read: Callable[[int, int], bytes] | None,
        seconds: float,
    ) -> tuple[dict[str, Any], bytes]:
        """Have a file decoded.

        Args:
            request: The request.
            data: The file.
            read: Reads a part of the file, if the process asks for parts.
            seconds: How long it may take.

        Raises:
            InvalidImageError: The process ended, or took too long; it is killed then.
        """
        self.was_used = True
        until = time.monotonic() + seconds
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if data is not None:
                self._connection.send_bytes(data)
            while self._connection.poll(max(0.0, until - time.monotonic())):
                answer = json.loads(self._connection.recv_bytes())
                if read is None or "offset" not in answer:
                    return answer, self._connection.recv_bytes()
                size = min(int(answer["size"]), PART_BYTES)
                self._connection.send_bytes(read(int(answer["offset"]), size))
        except (OSError, EOFError) as error:
            self.kill()
            raise InvalidImageError("decoding the image crashes the decoder") from error
        except BaseException:
            self.kill()  # it waits for a part that can't be read
            raise
        self.kill()
        raise InvalidImageError(f"decoding the image takes longer than {seconds:g} s")

    def kill(self) -> None:
        """End the process."""
        self.is_usable = False
        self._server.kill(self._process_id)
        self._connection.close()
