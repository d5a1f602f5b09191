"""A detector that crashes its process or blocks it."""

import ctypes
import os
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Image, Operational, Result

from retinue_hostile.echo import Hostile, HostileOptions, found

_BLOCK_BYTES = 16 * 2**20


class CrashesOptions(HostileOptions):
    """The kind of crash."""

    how: Literal["segfault", "abort", "exit", "memory", "hang-in-c"] = "segfault"
    """Read address 0; call abort(); exit with status 70; allocate memory without limit; or sleep in
    C with the interpreter locked, so that no other thread of the process runs.
    """
    key_fragment: str = ""
    """Crash for images whose key contains this text. Default: all."""
    where: Literal["detect", "start"] = "detect"
    """The method that crashes."""
    seconds: Annotated[int, Field(ge=0), Operational()] = 3_600
    """Duration of a hang, in seconds."""


class Crashes(Hostile[CrashesOptions]):
    """Crashes its process, or hangs in C."""

    name: ClassVar[str] = "hostile-crashes"

    def start(self) -> None:
        """Crash if configured."""
        if self.options.where == "start":
            self._crash()

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Crash for the chosen images."""
        chosen = self.options.key_fragment
        if self.options.where == "detect" and any(chosen in i.reference.key for i in images):
            self._crash()
        return [found(image) for image in images]

    def _crash(self) -> None:
        match self.options.how:
            case "segfault":
                ctypes.string_at(0)
            case "abort":
                ctypes.CDLL(None).abort()
            case "exit":
                os._exit(70)
            case "memory":
                blocks: list[bytes] = []
                while True:  # ones, because zeros may never become real memory
                    blocks.append(b"\1" * _BLOCK_BYTES)
            case "hang-in-c":
                ctypes.PyDLL(None).sleep(self.options.seconds)
