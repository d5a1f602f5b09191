"""Find the size of an image that the history doesn't have."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.limits import MAX_PX

from retinue_cli.data.export.images import SelectedImage

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SizePx: TypeAlias = tuple[int, int]
"""Width and height in pixels, as displayed."""

HEADER_BYTES = 256 * 1024
"""How much of an object is fetched. A JPEG has its size after its EXIF data of at most 64 KiB, and
after colour profiles and previews in segments of at most 64 KiB each.
"""


class Sizes:
    """Sizes from the history, and from another source.

    Args:
        read: Returns the size of an image that the history doesn't have; ``None`` if unknown.
    """

    def __init__(self, read: Callable[[SelectedImage], SizePx | None] | None = None) -> None:
        self._read = read

    def of(self, image: SelectedImage) -> SizePx | None:
        """Return the image's size; ``None`` if unknown."""
        if image.size_px is not None or self._read is None:
            return image.size_px
        return self._read(image)


def read_from_s3(client: "S3Client", image: SelectedImage) -> SizePx | None:
    """Read the size from the object's first bytes; ``None`` if it is gone, changed, or no image.

    Raises:
        OSError: S3 refuses or doesn't answer, which isn't the image's fault.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    reference = image.reference
    which = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id is not None:
        which["VersionId"] = reference.version_id
    else:
        which["IfMatch"] = f'"{reference.etag}"'
    try:
        answer = client.get_object(**which, Range=f"bytes=0-{HEADER_BYTES - 1}")  # type: ignore[arg-type]
        header = answer["Body"].read(HEADER_BYTES)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status in (404, 405, 412, 416):  # gone, a delete marker, replaced, or empty
            return None
        raise OSError(f"S3 doesn't return {reference.uri}: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"S3 doesn't return {reference.uri}: {error}") from error
    return size_of(header)


def size_of(header: bytes) -> SizePx | None:
    """Return the displayed size of the image that begins with these bytes, if they have it."""
    from retinue_sdk.decode import measure

    try:
        return measure(header, ImageLimits(max_px=2 * MAX_PX))
    except InvalidImageError:
        return None
