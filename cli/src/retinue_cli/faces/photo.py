"""Read a person's photo from a file or S3, in a form that the service accepts."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage
from retinue_sdk import BoundingBox, Image, ImageLimits, InvalidImageError, Pixels, S3Uri

from retinue_cli.faces.errors import FacesError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MAX_SENT_BYTES = 5 * 2**20
"""Maximum size of an image in a request ("Guidelines and quotas in Amazon Rekognition": 5 MB)."""

MIN_SIDE_PX = 160
"""Minimum side of the sent image, in pixels. Some operations refuse less than 80."""

MAX_SIDE_PX = 4_096
"""Maximum side of an image that is encoded again, in pixels."""

MAX_PNG_PX = 1_500_000
"""Maximum number of pixels for lossless encoding: 3 bytes each stay below 5 MB."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo.

    Attributes:
        name: Its file's name, or its S3 URI.
        data: JPEG or PNG of at most 5 MB.
        pixels: Its pixels, upright.
    """

    name: str
    data: bytes
    pixels: Pixels

    def part(self, face: BoundingBox, margin: float) -> tuple[bytes, BoundingBox]:
        """Cut a face out.

        Args:
            face: The face's box.
            margin: The margin on each side, as a ratio of the face's size.

        Returns:
            The part as a file, and the face's box in it.
        """
        height, width = self.pixels.shape[:2]
        area = BoundingBox(
            face.left - margin * face.width,
            face.top - margin * face.height,
            face.width * (1 + 2 * margin),
            face.height * (1 + 2 * margin),
        ).clipped()
        left, top = int(area.left * width), int(area.top * height)
        right = max(left + 1, int(np.ceil(area.right * width)))
        bottom = max(top + 1, int(np.ceil(area.bottom * height)))
        box = BoundingBox(
            (face.left * width - left) / (right - left),
            (face.top * height - top) / (bottom - top),
            face.width * width / (right - left),
            face.height * height / (bottom - top),
        )
        return _encoded(self.pixels[top:bottom, left:right]), box


def load(place: str, s3: "S3Client | None" = None) -> Photo:
    """Read a photo.

    Args:
        place: A file's path, or ``s3://bucket/key``.
        s3: A client for ``s3://`` URIs. The default is boto3's own.

    Raises:
        FacesError: It can't be read, or isn't an image.
    """
    try:
        if place.startswith("s3://"):
            name, data = place, _from_s3(place, s3)
        else:
            name, data = Path(place).name, Path(place).read_bytes()
    except OSError as error:
        raise FacesError(f"{place} cannot be read: {error.strerror or error}") from error
    try:
        pixels = Image.from_bytes(data, limits=ImageLimits()).pixels()
    except InvalidImageError as error:
        raise FacesError(f"{place} isn't a photo: {error}") from error
    fits = len(data) <= MAX_SENT_BYTES and min(pixels.shape[:2]) >= MIN_SIDE_PX
    if not fits or not data.startswith(_SIGNATURES):
        data = _encoded(pixels)
    return Photo(name, data, pixels)


def _from_s3(uri: str, s3: "S3Client | None") -> bytes:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        place = S3Uri.parse(uri)
    except ValueError as error:
        raise FacesError(str(error)) from error
    if not place.key:
        raise FacesError(f"{uri} names no object: write s3://bucket/key")
    try:
        client: Any = s3 or boto3.client("s3")
        data: bytes = client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise FacesError(f"{uri} cannot be read: {error}") from error
    return data


def _encoded(pixels: Pixels) -> bytes:
    """Return the pixels as a file that the service accepts."""
    picture = PillowImage.fromarray(np.ascontiguousarray(pixels))
    scale = max(MIN_SIDE_PX / min(picture.size), 1.0)
    scale = min(scale, MAX_SIDE_PX / max(picture.size))
    if scale != 1:
        size = (max(80, round(picture.width * scale)), max(80, round(picture.height * scale)))
        picture = picture.resize(size, PillowImage.Resampling.BICUBIC)
    if picture.width * picture.height <= MAX_PNG_PX:
        return _file(picture, "PNG")
    return next(
        (
            data
            for quality in (95, 85)
            if len(data := _file(picture, "JPEG", quality)) <= MAX_SENT_BYTES
        ),
        _file(picture, "JPEG", 60),
    )


def _file(picture: PillowImage.Image, kind: str, quality: int = 95) -> bytes:
    file = BytesIO()
    picture.save(file, kind, quality=quality)
    return file.getvalue()
