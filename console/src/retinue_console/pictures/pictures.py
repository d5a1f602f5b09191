"""Thumbnails and views of images."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from hashlib import sha256
from threading import BoundedSemaphore
from typing import Any, TypeAlias
from uuid import UUID

from psycopg import sql
from retinue_cli.options.originals import ImageFacts, Originals
from retinue_history.db.connections import Connection
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    ImageReference,
    InvalidImageError,
    Media,
    media_of,
)

from retinue_console.database import Database
from retinue_console.pictures.cache import PictureCache
from retinue_console.pictures.decoder import Decoder, NoVideoDecoderError
from retinue_console.queries.video import BEST_MOMENT

Part: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, as ratios."""

_FILES = 3
"""How many files are in memory at the same time: two are decoded, and one is fetched meanwhile."""

_WEBP = b"RIFF"
"""First bytes of a picture in the cache. Any other entry is the reason why there is none."""


class PictureKind(Enum):
    """A size of pictures.

    Attributes:
        longest_px: Maximum width and height.
        most_bytes: Maximum size in bytes.
    """

    THUMBNAIL = ("thumbnail", 320, 25_000)
    VIEW = ("view", 1_600, None)
    PATCH = ("patch", 320, 25_000)

    def __init__(self, word: str, longest_px: int, most_bytes: int | None) -> None:
        self.word = word
        self.longest_px = longest_px
        self.most_bytes = most_bytes


class NoPictureError(Exception):
    """There is no picture of an image; the message has the reason.

    Attributes:
        is_lasting: Whether that stays so.
    """

    def __init__(self, reason: str, *, is_lasting: bool) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


class NoStillError(Exception):
    """There is no picture of a video; the message has the reason, if it is known."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        webp: The file.
        is_lasting: Whether it stays the same. That of a video changes with what is found in it.
    """

    webp: bytes
    is_lasting: bool


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image, as the history describes it.

    Attributes:
        facts: Facts about it, with the place of its file.
        deleted_at: When it was removed from the bucket.
    """

    facts: ImageFacts
    deleted_at: datetime | None


class Pictures:
    """The pictures of a history.

    Args:
        database: The history, which has the images.
        originals: Their files.
        cache: Pictures that were made before.
        decoder: Makes them.
    """

    def __init__(
        self, database: Database, originals: Originals, cache: PictureCache, decoder: Decoder
    ) -> None:
        self._database = database
        self._originals = originals
        self._cache = cache
        self._decoder = decoder
        self._room = BoundedSemaphore(_FILES)

    def picture(
        self,
        image_id: UUID,
        kind: PictureKind,
        part: Part | None = None,
        at_ms: int | None = None,
    ) -> Picture | None:
        """Return a picture; ``None`` if the history has no such image.

        It queries the history each time, so that forgotten images aren't shown from the cache.
        A video's picture is the frame in which a detector was most certain, or the first one.

        Args:
            image_id: The image.
            kind: The size.
            part: The part to cut out of it; ``None`` for all. Not for videos.
            at_ms: The time in a video, in milliseconds; by default, of its most certain detection.

        Raises:
            NoPictureError: There is none.
            NoStillError: There is none of a video.
            HistoryError: The database doesn't answer.
        """
        image = self._find(image_id)
        if image is None:
            return None
        is_video = media_of(image.facts.reference.key) is Media.VIDEO
        name, moment = kind.word, 0
        if is_video:
            if part is not None:
                raise NoStillError
            moment = self._best_moment(image_id) if at_ms is None else at_ms
            name += f"-{moment}"
        if part is not None:
            name += sha256(repr(part).encode()).hexdigest()[:16]
        data = self._cache.get(image_id, name)
        if data is None:
            make = (
                partial(self._still, image, kind, moment)
                if is_video
                else partial(self._scaled, image, kind, part)
            )
            with self._room:
                data = self._make(image, make, name)
        if not data.startswith(_WEBP):
            reason = data.decode()
            raise NoStillError(reason) if is_video else NoPictureError(reason, is_lasting=True)
        return Picture(data, not is_video)

    def original(self, image_id: UUID) -> tuple[str, bytes] | None:
        """Return the key and the file of an image; ``None`` if the history has no such image.

        Raises:
            NoPictureError: The file isn't available.
            HistoryError: The database doesn't answer.
        """
        image = self._find(image_id)
        if image is None:
            return None
        return image.facts.reference.key, self._read(image)

    def original_part(self, image_id: UUID, at: int, size: int) -> tuple[bytes, int] | None:
        """Return up to ``size`` bytes of the file from an offset, and the file's size.

        Returns:
            ``None`` if the history has no such image.

        Raises:
            NoPictureError: The file isn't available.
            HistoryError: The database doesn't answer.
        """
        image = self._find(image_id)
        if image is None:
            return None
        return self._read_part(image, at, size)

    def purge(self) -> int:
        """Remove images that the history doesn't have from the cache; return their number.

        Raises:
            HistoryError: The database doesn't answer.
        """
        cached = self._cache.image_ids()
        if not cached:
            return 0
        with self._database.read() as connection:
            gone = {row[0] for row in connection.execute(_GONE, [list(cached)])}
        self._cache.remove(gone)
        return len(gone)

    def _find(self, image_id: UUID) -> StoredImage | None:
        """Look up an image. If it was deleted or forgotten, remove it from the cache."""
        with self._database.read() as connection:
            image = _image(connection, image_id)
        if image is None or image.deleted_at is not None:
            self._cache.remove([image_id])
        if image is not None and image.deleted_at is not None:
            raise NoPictureError(
                f"removed from the bucket on {image.deleted_at:%Y-%m-%d}", is_lasting=True
            )
        return image

    def _best_moment(self, image_id: UUID) -> int:
        """Return the time in a video at which a detector was most certain, in milliseconds."""
        with self._database.read() as connection:
            query = sql.SQL(_BEST_MOMENT).format(moment=sql.SQL(BEST_MOMENT))
            row: Any = connection.execute(query, [image_id]).fetchone()
        return 0 if row is None else int(row[0])

    def _make(self, image: StoredImage, make: Callable[[], bytes], name: str) -> bytes:
        """Make a picture, or the reason why there is none, and keep it."""
        try:
            made = make()
        except InvalidImageError as error:
            made = str(error).encode()
        except DetectorError as error:
            raise NoPictureError(str(error), is_lasting=False) from error
        self._cache.put(image.facts.reference.image_id, name, made)
        return made

    def _scaled(self, image: StoredImage, kind: PictureKind, part: Part | None) -> bytes:
        return self._decoder.encode(
            self._read(image),
            self._originals.limits,
            longest_px=kind.longest_px,
            most_bytes=kind.most_bytes,
            part=part,
        )

    def _still(self, image: StoredImage, kind: PictureKind, at_ms: int) -> bytes:
        def read(offset: int, size: int) -> bytes:
            return self._read_part(image, offset, size)[0]

        size_bytes = image.facts.size_bytes
        if size_bytes is None:
            _, size_bytes = self._read_part(image, 0, 1)
        try:
            return self._decoder.encode_still(
                read,
                size_bytes,
                at_ms,
                self._originals.limits,
                longest_px=kind.longest_px,
                most_bytes=kind.most_bytes,
            )
        except NoVideoDecoderError as error:
            raise NoStillError("its decoder isn't installed") from error

    def _read(self, image: StoredImage) -> bytes:
        try:
            return self._originals.read(image.facts)
        except (ConfigurationError, DetectorError) as error:
            raise NoPictureError(str(error), is_lasting=False) from error

    def _read_part(self, image: StoredImage, at: int, size: int) -> tuple[bytes, int]:
        try:
            return self._originals.read_part(image.facts, at, size)
        except (ConfigurationError, DetectorError) as error:
            raise NoPictureError(str(error), is_lasting=False) from error


def _image(connection: Connection, image_id: UUID) -> StoredImage | None:
    row: Any = connection.execute(_IMAGE, [image_id]).fetchone()
    if row is None:
        return None
    bucket, key, version, versioned, etag, size_bytes, width_px, height_px, deleted_at = row
    reference = ImageReference(
        bucket,
        key,
        version_id=version if versioned else None,
        etag=None if versioned else version,
    )
    facts = ImageFacts(
        reference,
        etag if versioned else version,
        size_bytes,
        None if width_px is None else (width_px, height_px),
    )
    return StoredImage(facts, deleted_at)


_IMAGE = """SELECT bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
    deleted_at
FROM images
WHERE image_id = %s"""

_BEST_MOMENT = """SELECT {moment}
FROM latest_detections
WHERE image_id = %s AND start_ms IS NOT NULL
ORDER BY confidence DESC, detection_id
LIMIT 1"""

_GONE = """SELECT cached.image_id
FROM unnest(%s::uuid[]) AS cached (image_id)
LEFT JOIN images ON images.image_id = cached.image_id
WHERE images.image_id IS NULL OR images.deleted_at IS NOT NULL"""
