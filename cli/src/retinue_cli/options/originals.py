"""The files of images: in a laptop's folder, or in S3."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from retinue_sdk import ConfigurationError, ImageLimits, ImageReference
from retinue_sdk.limits import MAX_BYTES
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import is_of_laptop

if TYPE_CHECKING:
    from retinue_workers.intake.s3 import ObjectStore


PART_BYTES = 8 * 2**20
"""How many bytes of a video are copied at a time."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image's file, as the history describes it.

    Attributes:
        reference: Its place in S3.
        etag: The object's ETag, if known.
        size_bytes: The object's size, if known.
        size_px: Width and height as displayed, if known.
    """

    reference: ImageReference
    etag: str | None
    size_bytes: int | None
    size_px: tuple[int, int] | None


class Originals:
    """The files of the images of a history. Thread-safe.

    Args:
        settings: They name the history, and limit how large a file may be.
    """

    def __init__(self, settings: Settings) -> None:
        self.limits = ImageLimits(settings.max_image_bytes or MAX_BYTES, settings.max_image_px)
        self._is_laptop = is_of_laptop(settings)
        self._settings = settings
        self._making = Lock()
        self._store: ObjectStore | None = None

    def read(self, image: ImageFacts) -> bytes:
        """Return an image's file.

        A photograph of ``retinue run`` is read from its folder, any other image from S3.

        Raises:
            ConfigurationError: The file is gone, or is another picture now.
            DetectorError: S3 doesn't return it, or it is too large.
        """
        if (sample := _sample(image)) is not None:
            return sample
        if self._is_laptop and not _is_endpoint_named():
            return self.read_from(_original(image), image)
        return self._store_of_s3().fetch(image.reference)

    def read_part(self, image: ImageFacts, at: int, size: int) -> tuple[bytes, int]:
        """Return up to ``size`` bytes of a file from an offset, and the file's size.

        The size isn't limited, and a file in a folder isn't compared with the image's digest.

        Raises:
            ConfigurationError: The file is gone, or has another size now.
            DetectorError: S3 doesn't return it.
        """
        if self._is_laptop and not _is_endpoint_named():
            return _part(_original(image), image, at, size)
        return self._store_of_s3().read_part(image.reference, at, size)

    def copy_video(self, image: ImageFacts, file: IO[bytes]) -> None:
        """Copy a video to a file, part by part.

        Raises:
            ConfigurationError: The video is gone, or is another one now.
            DetectorError: S3 doesn't return it, or it is larger than ``RETINUE_MAX_VIDEO_BYTES``.
        """
        limits = ImageLimits(max_bytes=self._settings.max_video_bytes)
        digest, total = hashlib.md5(usedforsecurity=False), 1
        while file.tell() < total:
            part, total = self.read_part(image, file.tell(), PART_BYTES)
            limits.check_bytes(total)
            if not part:
                break
            digest.update(part)
            file.write(part)
        file.flush()
        is_md5 = self._is_laptop and image.etag is not None and "-" not in image.etag
        if is_md5 and digest.hexdigest() != image.etag:
            raise ConfigurationError(
                f"the file of {image.reference.key} is not the one that the detectors saw"
            )

    def close(self) -> None:
        """Close the connections to S3."""
        if self._store is not None:
            self._store.close()

    def read_from(self, file: Path, image: ImageFacts) -> bytes:
        """Return the content of a file, which must be the same picture.

        Raises:
            ConfigurationError: It is gone, or is another picture.
            DetectorError: It is too large.
        """
        data = self._read(file)
        _check_same(image, data, file, etag_is_md5=self._is_laptop)
        return data

    def _store_of_s3(self) -> "ObjectStore":
        with self._making:
            if self._store is None:
                self._store = _object_store(self._settings, self.limits)
            return self._store

    def _read(self, file: Path) -> bytes:
        try:
            self.limits.check_bytes(file.stat().st_size)
            return file.read_bytes()
        except FileNotFoundError as error:
            raise ConfigurationError(f"{file} no longer exists") from error
        except OSError as error:
            raise ConfigurationError(f"cannot read {file}: {error.strerror or error}") from error


def _part(file: Path, image: ImageFacts, at: int, size: int) -> tuple[bytes, int]:
    try:
        with file.open("rb") as opened:
            total = opened.seek(0, os.SEEK_END)
            opened.seek(at)
            data = opened.read(size)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{file} no longer exists") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror or error}") from error
    if image.size_bytes not in (None, total):
        raise ConfigurationError(
            f"{file} is not the file that the detectors saw: it has {total:,} bytes, and the video "
            f"{image.size_bytes:,}"
        )
    return data, total


def _object_store(settings: Settings, limits: ImageLimits) -> "ObjectStore":
    from retinue_workers.intake.object_reader import ObjectReader
    from retinue_workers.intake.s3 import ObjectStore

    from retinue_cli.options.s3_client import s3_client

    return ObjectStore(lambda: ObjectReader(s3_client(settings)), limits)


def _is_endpoint_named() -> bool:
    """Return whether the laptop's objects are in an emulator that stays."""
    from retinue_cli.local.endpoint import named_endpoint

    return named_endpoint() is not None


def _sample(image: ImageFacts) -> bytes | None:
    """Return one of the photographs that come with Retinue, if the image is the very same file."""
    try:
        from retinue_cli.local.photographs import package_photographs
    except ImportError:  # a slim installation
        return None
    for photograph in package_photographs():
        if photograph.key == image.reference.key:
            data = photograph.path.read_bytes()
            return data if _md5(data) == image.etag else None
    return None


def _original(image: ImageFacts) -> Path:
    """Return the file that `retinue run` uploaded under the image's key.

    Raises:
        ConfigurationError: It isn't known which file that was.
    """
    from retinue_cli.local.folders import Folders
    from retinue_cli.local.state import State

    key = image.reference.key
    file = Folders(State.find().folders).path(key)
    if file is None:
        raise ConfigurationError(f"`retinue run` doesn't know the folder of {key}")
    return file


def _md5(data: bytes) -> str:
    """Return the ETag of an object that was uploaded in one part, without encryption by KMS."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _check_same(image: ImageFacts, data: bytes, file: Path, *, etag_is_md5: bool) -> None:
    """Raise if a file is known to differ from the image.

    Args:
        image: The image.
        data: The file's bytes.
        file: Its name.
        etag_is_md5: Whether the ETag is the MD5 of the bytes: not where S3 encrypts with KMS.

    Raises:
        ConfigurationError: It is another one.
    """
    from retinue_cli.data.export.sizes import size_of

    if image.etag == _md5(data):
        return
    if image.size_bytes is not None and image.size_bytes != len(data):
        difference = f"it has {len(data):,} bytes, and the image {image.size_bytes:,}"
    elif image.size_px is not None and (size_px := size_of(data)) != image.size_px:
        said = "no size" if size_px is None else f"{size_px[0]} × {size_px[1]} px"
        difference = f"it has {said}, and the image {image.size_px[0]} × {image.size_px[1]} px"
    elif etag_is_md5:
        difference = "its bytes are others"
    else:
        return
    raise ConfigurationError(f"{file} is not the picture that the detectors saw: {difference}")
