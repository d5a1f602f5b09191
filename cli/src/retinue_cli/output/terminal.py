"""Write data to standard output: unchanged for programs, harmless for a terminal."""

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, TextIO, cast

from retinue_cli.output.words import escaped_lines


class Writable(Protocol):
    """A text file that is only written."""

    def write(self, text: str, /) -> object:
        """Write a text."""


def data_output(file: TextIO) -> Writable:
    """Return the file for data. If it is a terminal, control characters in texts are escaped."""
    return _Escaped(file) if file.isatty() else file


@contextmanager
def binary_data_output() -> Iterator[BinaryIO]:
    """Open standard output for data in UTF-8, escaped in the same way on a terminal."""
    file = cast("BinaryIO", _EscapedBytes()) if sys.stdout.isatty() else sys.stdout.buffer
    yield file
    file.flush()


class _Escaped:
    """Escapes everything but the ends of lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str, /) -> None:
        """Write a text."""
        self._file.write(escaped_lines(text))


class _EscapedBytes(io.BufferedIOBase):
    """Escapes UTF-8 that arrives in parts of any size."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Write a part."""
        sys.stdout.write(escaped_lines(self._decoder.decode(bytes(data))))
        return len(data)

    def flush(self) -> None:
        """Flush standard output."""
        sys.stdout.flush()
