"""The ONNX file that a detector uses."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from retinue_sdk import ConfigurationError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An ONNX file, with its hash from the detector's constructor.

    Attributes:
        path: Its path.
        sha256: The hash of its bytes, 64 hex digits.
    """

    path: Path
    sha256: str

    @classmethod
    def find(cls, chosen: Path | None, *, bundled: str) -> Self:
        """Return the file of the option, or this package's file named ``bundled``.

        Raises:
            ConfigurationError: The file doesn't exist or can't be read.
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
        """Return the file's name and the first 12 digits of its hash: ``nanodet-fe5ab669dad2``."""
        return f"{self.path.stem}-{self.sha256[:12]}"

    def read(self) -> bytes:
        """Return the file's bytes, which must have the hash ``sha256``.

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
