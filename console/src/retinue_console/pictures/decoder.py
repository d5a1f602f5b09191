"""Decoding in processes of limited memory and time: files from outside are hostile."""

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue

from retinue_sdk import ImageLimits, InvalidImageError, RetriableError

SECONDS = 20.0
"""Time limit of decoding one file."""

PROCESSES = 2
"""Number of decoding processes. Each is started when it is first needed."""


class Decoder:
    """Turns files into pictures for browsers.

    Args:
        seconds: Longest decoding of one file.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
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
            longest_px: Most width and height.
            most_bytes: Most bytes of the WebP.
            part: Left, top, right and bottom of a part to cut out, as ratios; ``None`` for all.

        Raises:
            InvalidImageError: It can't be decoded within the limits.
        """
        limits.check_bytes(len(data))
        request = {
            "max_px": limits.max_px,
            "longest_px": longest_px,
            "most_bytes": most_bytes,
            "part": part,
        }
        with self._child() as child:
            answer, picture = child.ask(json.dumps(request).encode(), data, self._seconds)
        if problem := json.loads(answer).get("problem"):
            raise InvalidImageError(problem)
        return picture

    def end_idle(self) -> None:
        """End the processes that have decoded nothing since the last call."""
        waiting: list[_Child | None] = []
        with suppress(Empty):
            while True:
                waiting.append(self._idle.get_nowait())
        for child in reversed(waiting):
            if child is not None and not child.was_used:
                child.kill()
                self._idle.put(None)
                continue
            if child is not None:
                child.was_used = False
            self._idle.put(child)

    def close(self) -> None:
        """End the processes."""
        for _ in range(PROCESSES):
            child = self._idle.get()
            if child is not None:
                child.kill()

    @contextmanager
    def _child(self) -> Iterator["_Child"]:
        child = self._idle.get()
        try:
            if child is None:
                child = _Child()
            yield child
        finally:
            self._idle.put(child if child is not None and child.is_usable else None)


class _Child:
    """A process that decodes one file after another."""

    def __init__(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [
                    *(sys.executable, "-I", "-m", "retinue_console.pictures.child"),
                    str(theirs.fileno()),
                ],
                env={"OPENBLAS_NUM_THREADS": "1"},  # no credentials
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the console, which then ends it
            )
        except OSError as error:
            self._connection.close()
            raise RetriableError(f"no process to decode the image in: {error}") from error
        finally:
            theirs.close()
        self.is_usable = True
        self.was_used = True

    def ask(self, request: bytes, data: bytes, seconds: float) -> tuple[bytes, bytes]:
        """Have a file decoded.

        Raises:
            InvalidImageError: The process ended, or took too long; it is killed then.
        """
        self.was_used = True
        try:
            self._connection.send_bytes(request)
            self._connection.send_bytes(data)
            if not self._connection.poll(seconds):
                self.kill()
                raise InvalidImageError(f"decoding the image takes longer than {seconds:g} s")
            return self._connection.recv_bytes(), self._connection.recv_bytes()
        except (OSError, EOFError) as error:
            self.kill()
            raise InvalidImageError("decoding the image crashes the decoder") from error

    def kill(self) -> None:
        """End the process."""
        self.is_usable = False
        self._process.kill()
        self._process.wait()
        self._connection.close()
