"""The ONNX file that a detector uses."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from retinue_sdk import ConfigurationError

from retinue_onnx.s3_file import S3File

MAX_BYTES = 2**31 - 1
"""Largest protobuf message, which an ONNX file is."""

_LOCATION = b"\x0a\x08location\x12"
"""The key of an entry of ``external_data`` in a tensor, and the tag of its value (onnx.proto)."""

_EXTERNAL_DATA = 0x6A
"""The tag of the field ``external_data``, one or two bytes of length before the key."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An ONNX file, with its hash from the detector's constructor.

    Attributes:
        place: Its path, or its place in S3.
        sha256: The hash of its bytes, 64 hex digits.
    """

    place: Path | S3File
    sha256: str

    @classmethod
    def find(cls, chosen: Path | str | None, *, bundled: str) -> Self:
        """Return the file of the option, or this package's file named ``bundled``.

        A text is a URI of S3 with a hash. Its file is read later.

        Raises:
            ConfigurationError: The file doesn't exist, can't be read, or is too large.
        """
        if isinstance(chosen, str):
            file = S3File.parse(chosen)
            return cls(file, file.sha256)
        path = chosen or Path(str(resources.files("retinue_onnx") / "models" / bundled))
        try:
            if path.exists() and not path.is_file():
                raise ConfigurationError(
                    f"option model: {path} is not a file; give the path of an ONNX file"
                )
            if (size := path.stat().st_size) > MAX_BYTES:
                raise ConfigurationError(
                    f"option model: {path} has {size / 1e9:.1f} GB, and an ONNX file can have at "
                    "most 2.1 GB; export a smaller model, or with half precision"
                )
            with path.open("rb") as opened:
                return cls(path, hashlib.file_digest(opened, "sha256").hexdigest())
        except OSError as error:
            raise ConfigurationError(
                f"option model: {path} cannot be read ({error.strerror or error}); "
                "give the path of an ONNX file, or leave the option out to use the bundled model"
            ) from error

    @property
    def version(self) -> str:
        """Return the file's name and the first 12 digits of its hash: ``nanodet-fe5ab669dad2``.

        All trained models are named ``NAME/VERSION/model.onnx``, with a card beside the file. Their
        folders take the place of the name: ``parts-3-fe5ab669dad2``.
        """
        if isinstance(self.place, S3File):
            name = self.place.name
        elif (self.place.parent / "card.json").is_file():
            folder = self.place.absolute().parent
            name = f"{folder.parent.name}-{folder.name}"
        else:
            name = self.place.stem
        return f"{name}-{self.sha256[:12]}"

    def read(self) -> bytes:
        """Return the file's bytes, which must have the hash ``sha256``.

        Raises:
            ConfigurationError: The file is gone, has changed since, or lacks its weights.
            DetectorNotReadyError: It is in S3, which can't be reached at the moment.
        """
        place = self.place
        data = place.read(MAX_BYTES) if isinstance(place, S3File) else self._local(place)
        if name := _second_file(data):
            shown = Path(place.place.key) if isinstance(place, S3File) else place
            raise ConfigurationError(
                f"option model: the weights of {shown} are in a second file ({name}); put them "
                f"into the model: onnx.save_model(onnx.load({shown.name!r}), 'whole.onnx')"
            )
        return data

    def _local(self, path: Path) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"option model: {path} can no longer be read ({error.strerror or error})"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ConfigurationError(
                f"option model: {path} changed while the worker was starting; start it again"
            )
        return data


def _second_file(data: bytes) -> str | None:
    """Return the name of a file with weights that a model needs, if any.

    ONNX Runtime would look for it in the working directory.
    """
    start = data.find(_LOCATION)
    if start < 3 or _EXTERNAL_DATA not in data[start - 3 : start - 1]:
        return None
    value = start + len(_LOCATION)
    return data[value + 1 : value + 1 + min(data[value], 80)].decode(errors="replace")
