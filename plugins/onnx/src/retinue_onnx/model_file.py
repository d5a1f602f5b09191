"""The ONNX file that a detector uses, and the files beside it that have its weights."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePath
from typing import Self

from retinue_sdk import ConfigurationError

from retinue_onnx.external_data import weight_files, with_weights
from retinue_onnx.s3_file import S3File

MAX_BYTES = 2**31 - 1
"""Largest protobuf message, which an ONNX file is."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An ONNX file, with its hash from the detector's constructor.

    Attributes:
        place: Its path, or its place in S3.
        sha256: The hash of its bytes, 64 hex digits; if its weights are in other files, the hash of
            the bytes of all of them.
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
            return cls(path, _sha256(_files(path)))
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
        """Return the file's bytes, with all weights. They must have the hash ``sha256``.

        Raises:
            ConfigurationError: The file is gone, has changed since, or lacks its weights.
            DetectorNotReadyError: It is in S3, which can't be reached at the moment.
        """
        if isinstance(self.place, S3File):
            return _whole(self.place)
        path = self.place
        try:
            files = _files(path)
        except OSError as error:
            raise ConfigurationError(
                f"option model: {path} can no longer be read ({error.strerror or error})"
            ) from error
        if _sha256(files) != self.sha256:
            raise ConfigurationError(
                f"option model: {path} changed while the worker was starting; start it again"
            )
        model = files.pop("")
        try:
            return with_weights(model, files) if files else model
        except ValueError as error:
            raise ConfigurationError(
                f"option model: the weights of {path} are incomplete ({error}); copy or download "
                "the files again, with `git lfs pull` from a repository with Git LFS"
            ) from error


def _whole(file: S3File) -> bytes:
    """Return a model in S3, whose hash covers no other file.

    Raises:
        ConfigurationError: Its weights are in other files.
    """
    model = file.read(MAX_BYTES)
    if names := weight_files(model):
        name = PurePath(file.place.key).name
        raise ConfigurationError(
            f"option model: the weights of {file.uri} are in a second file ({names[0]:.80}), which "
            "its hash doesn't cover. Put them into the model where you have both files, and upload "
            f"that: onnx.save_model(onnx.load({name!r}), 'whole.onnx')"
        )
    return model


def _files(path: Path) -> dict[str, bytes]:
    """Return the contents of a model, under the name "", and of the files with its weights.

    Raises:
        ConfigurationError: They are too large, or a file with weights is missing.
        OSError: The model can't be read.
    """
    size = path.stat().st_size
    _check_size(path, size)
    files = {"": path.read_bytes()}
    for name in weight_files(files[""]):
        beside = path.parent / name
        # ONNX Runtime would look for it in the working directory.
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts or not beside.is_file():
            raise ConfigurationError(
                f"option model: the weights of {path} are in a second file ({name:.80}), which "
                f"isn't in {path.parent}: put it there under this name. Or put the weights into "
                f"the model where you exported it: onnx.save_model(onnx.load({path.name!r}), "
                "'whole.onnx')"
            )
        size += beside.stat().st_size
        _check_size(path, size)
        files[name] = beside.read_bytes()
    return files


def _check_size(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise ConfigurationError(
            f"option model: {path} has {size / 1e9:.1f} GB, and an ONNX file can have at most "
            "2.1 GB with its weights; export a smaller model, or with half precision"
        )


def _sha256(files: dict[str, bytes]) -> str:
    hashes = [hashlib.sha256(data).hexdigest() for data in files.values()]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
