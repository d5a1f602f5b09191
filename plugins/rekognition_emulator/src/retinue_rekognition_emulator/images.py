"""Load the images of requests, and invent their content."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.measure import Measured, measure

UNREADABLE = (
    "Unable to get object metadata from S3. Check object key, region and/or access permissions."
)


@dataclass(frozen=True)
class StoredObject:
    """An object in the endpoint's S3.

    Attributes:
        data: The bytes. Only their beginning must be real.
        size_bytes: The size that S3 reports, if it differs from the bytes'.
    """

    data: bytes
    size_bytes: int | None = None


Source = Callable[[str, str, str | None], StoredObject | None]
"""Returns the object for bucket, key and version; ``None`` if it can't be read."""


@dataclass(frozen=True)
class Face:
    """A face in an image: its person and its box."""

    identity: str
    box: dict[str, float]


@dataclass(frozen=True)
class ImageContent:
    """The content of an image.

    Attributes:
        digest: The digest that decides everything else.
        faces: The faces, largest first.
        measured: The measurements; ``None`` if only the name is known.
    """

    digest: bytes
    faces: list[Face] = field(default_factory=list)
    measured: Measured | None = None


def s3_client(address: str | None) -> Any:
    """Return a client of S3, or of the endpoint at an address."""
    import boto3

    region = os.environ.get("AWS_REGION") or "us-east-1"
    return boto3.client("s3", region_name=region, endpoint_url=address)


def object_parameters(bucket: str, key: str, version: str | None) -> dict[str, Any]:
    """Return the parameters that name an object, or one of its versions, to S3."""
    return {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})


def s3_source(address: str | None = None) -> Source:
    """Return a source that reads objects from S3, or from the endpoint in boto3's settings.

    Args:
        address: URL of the S3 endpoint. The default is boto3's settings.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client = s3_client(address)

    def read(bucket: str, key: str, version: str | None) -> StoredObject | None:
        try:
            where = object_parameters(bucket, key, version)
            return StoredObject(client.get_object(**where)["Body"].read())
        except (BotoCoreError, ClientError):
            return None

    return read


def look(image: dict[str, Any], source: Source | None, *, smallest_px: int = 80) -> ImageContent:
    """Return the content of a request's image.

    Raises:
        AwsError: It can't be read, is too large, too small, or neither JPEG nor PNG.
    """
    if ("Bytes" in image) == ("S3Object" in image):
        raise AwsError("InvalidParameterException", "Request has Invalid Parameters")
    if "Bytes" in image:
        return _see(image["Bytes"], smallest_px)
    where = image["S3Object"]
    bucket, key, version = where.get("Bucket"), where.get("Name"), where.get("Version")
    if not bucket or not key:
        raise AwsError("InvalidParameterException", "Request has Invalid Parameters")
    if source is None:
        return invented(f"{bucket}/{key}/{version or ''}".encode())
    stored = source(bucket, key, version)
    if stored is None:
        raise AwsError("InvalidS3ObjectException", UNREADABLE)
    if (stored.size_bytes or len(stored.data)) > 15 * 2**20:
        raise AwsError("ImageTooLargeException", "Image size is too large")
    return _see(stored.data, smallest_px)


def invented(name: bytes) -> ImageContent:
    """Return an invented image, of which only the name is known: up to three faces."""
    digest = hashlib.sha256(name).digest()
    faces = [
        Face(
            hashlib.sha256(digest + bytes([number])).hexdigest(),
            {"Left": 0.05 + 0.3 * number, "Top": 0.2, "Width": 0.2 - 0.04 * number, "Height": 0.3},
        )
        for number in range(digest[0] % 4)
    ]
    return ImageContent(digest, faces)


@lru_cache(maxsize=256)
def _see(data: bytes, smallest_px: int) -> ImageContent:
    try:
        with PillowImage.open(BytesIO(data), formats=("JPEG", "PNG")) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except Exception as error:
        raise AwsError("InvalidImageFormatException", "Request has invalid image format") from error
    if min(picture.size) < smallest_px:
        raise AwsError("InvalidParameterException", "Request has Invalid Parameters")
    painted = _painted_faces(np.asarray(picture))
    seen, measured = invented(data), measure(picture)
    if painted is None:
        # At a place with detail, because a box in the sky looks wrong.
        painted = [
            Face(face.identity, place)
            for face, place in zip(seen.faces, measured.places, strict=False)
        ]
    return ImageContent(seen.digest, painted, measured)


def _painted_faces(pixels: Any) -> list[Face] | None:
    """Return rectangles of one colour on grey as faces; the colour is the person. Else ``None``."""
    height, width = pixels.shape[:2]
    sample = pixels[:: max(1, height // 32), :: max(1, width // 32)].reshape(-1, 3)
    if len(np.unique(sample, axis=0)) > 128:
        return None  # a photograph; counting all its colours takes too long
    packed = (pixels.astype(np.int64) * [65_536, 256, 1]).sum(axis=2)
    colours, counts = np.unique(packed, return_counts=True)
    plain = counts >= packed.size / 500
    if plain.sum() > 12 or counts[plain].sum() < 0.8 * packed.size:
        return None
    faces = []
    for colour in colours[plain]:
        red, green, blue = colour >> 16, colour >> 8 & 255, colour & 255
        if max(red, green, blue) - min(red, green, blue) < 16:
            continue  # grey: background
        rows, columns = np.nonzero(packed == colour)
        box = {
            "Left": float(columns.min() / width),
            "Top": float(rows.min() / height),
            "Width": float((columns.max() + 1 - columns.min()) / width),
            "Height": float((rows.max() + 1 - rows.min()) / height),
        }
        if len(rows) * 10 < np.ptp(rows) * np.ptp(columns) * 8:
            continue  # not a rectangle, but its blurred edge
        faces.append(Face(f"#{colour:06x}", box))
    return sorted(faces, key=lambda face: -face.box["Width"] * face.box["Height"])
