"""The images that requests name, and what can be "seen" in them."""

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
    """What the endpoint's S3 holds.

    Attributes:
        data: The bytes; only their beginning need be real.
        size_bytes: The size that S3 tells, if it is not that of the bytes.
    """

    data: bytes
    size_bytes: int | None = None


Source = Callable[[str, str, str | None], StoredObject | None]
"""Gives the object for bucket, key and version; ``None`` if it cannot be read."""


@dataclass(frozen=True)
class Face:
    """A face in an image: whose it is, and where."""

    identity: str
    box: dict[str, float]


@dataclass(frozen=True)
class ImageContent:
    """An image as the endpoint sees it.

    Attributes:
        digest: What everything else follows from.
        faces: The faces, largest first.
        measured: What was measured; ``None`` if only the name is known.
    """

    digest: bytes
    faces: list[Face] = field(default_factory=list)
    measured: Measured | None = None


def s3_source(address: str | None = None) -> Source:
    """Reads objects from S3, or whatever stands for it in boto3's own settings.

    Args:
        address: URL of what stands for S3; without it boto3's settings say.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    region = os.environ.get("AWS_REGION") or "us-east-1"
    client = boto3.client("s3", region_name=region, endpoint_url=address)

    def read(bucket: str, key: str, version: str | None) -> StoredObject | None:
        where: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version:
            where["VersionId"] = version
        try:
            return StoredObject(client.get_object(**where)["Body"].read())
        except (BotoCoreError, ClientError):
            return None

    return read


def look(image: dict[str, Any], source: Source | None, *, smallest_px: int = 80) -> ImageContent:
    """See the image of a request.

    Raises:
        AwsError: It cannot be read, is too large, too small, or neither JPEG nor PNG.
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
    """An image of which only the name is known: nought to three faces."""
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
        # Somewhere in the picture where there is something: a box in the sky looks silly.
        painted = [
            Face(face.identity, place)
            for face, place in zip(seen.faces, measured.places, strict=False)
        ]
    return ImageContent(seen.digest, painted, measured)


def _painted_faces(pixels: Any) -> list[Face] | None:
    """Rectangles of one colour on grey are faces, and the colour is whose; else ``None``."""
    height, width = pixels.shape[:2]
    sample = pixels[:: max(1, height // 32), :: max(1, width // 32)].reshape(-1, 3)
    if len(np.unique(sample, axis=0)) > 128:
        return None  # a photograph, and not worth counting all of its colours
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
            continue  # not a rectangle: the blurred edge of one
        faces.append(Face(f"#{colour:06x}", box))
    return sorted(faces, key=lambda face: -face.box["Width"] * face.box["Height"])
