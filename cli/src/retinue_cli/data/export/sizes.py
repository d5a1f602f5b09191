"""How large an image is, where the history does not know."""

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
"""How much of an object is fetched. A JPEG tells its size after its EXIF data, which is at most
64 KiB, and colour profiles and previews that follow in segments of at most 64 KiB each."""


class Sizes:
    """Sizes that the history knows, and those that can be read from elsewhere.

    Args:
        read: Asked for an image whose size the history does not know; none if it cannot tell.
    """

    def __init__(self, read: Callable[[SelectedImage], SizePx | None] | None = None) -> None:
        self._read = read

    def of(self, image: SelectedImage) -> SizePx | None:
        """The image's size, or none if it cannot be known."""
        if image.size_px is not None or self._read is None:
            return image.size_px
        return self._read(image)


def read_from_s3(client: "S3Client", image: SelectedImage) -> SizePx | None:
    """Read the size from the object's first bytes; none if it is gone, changed, or no image.

    Raises:
        OSError: S3 refuses or does not answer, which is no image's fault.
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
        if status in (404, 405, 412, 416):  # gone, a delete marker, another in its place, empty
            return None
        raise OSError(f"S3 does not give {reference.uri}: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"S3 does not give {reference.uri}: {error}") from error
    return size_of(header)


def size_of(header: bytes) -> SizePx | None:
    """The size of the image that begins with these bytes, as displayed; none if they do not say."""
    from retinue_sdk.decode import measure

    try:
        return measure(header, ImageLimits(max_px=2 * MAX_PX))
    except InvalidImageError:
        return None
