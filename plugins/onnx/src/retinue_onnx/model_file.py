"""The ONNX file that a detector uses."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from retinue_sdk import ConfigurationError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An ONNX file and what was in it when the detector was made.

    Attributes:
        path: Where it lies.
        sha256: Of its bytes, 64 hex digits.
    """

    path: Path
    sha256: str

    @classmethod
    def find(cls, chosen: Path | None, *, bundled: str) -> Self:
        """The file that the option names, or else the one in this package called ``bundled``.

        Raises:
            ConfigurationError: There is no such file, or it cannot be read.
        """
        path = chosen or Path(str(resources.files("retinue_onnx") / "models" / bundled))
        try:
            with path.open("rb") as file:
                return cls(path, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise ConfigurationError(
                f"option model: {path} cannot be read ({error.strerror or error}); "
                "give the path of an ONNX file, or leave the option out to use the bundled model"
            ) from error

    @property
    def version(self) -> str:
        """The file's name and the first 12 digits of its hash: ``nanodet-fe5ab669dad2``."""
        return f"{self.path.stem}-{self.sha256[:12]}"

    def read(self) -> bytes:
        """The file's bytes, the very ones that ``sha256`` stands for.

        Raises:
            ConfigurationError: The file is gone, or has changed since.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"option model: {self.path} cannot be read any more ({error.strerror or error})"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ConfigurationError(
                f"option model: {self.path} changed while the worker was starting; start it again"
            )
        return data
