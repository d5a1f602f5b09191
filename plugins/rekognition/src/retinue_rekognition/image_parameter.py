"""Convert an image to a request's parameter, and refuse images that the service would refuse."""

from typing import Any, Literal

from retinue_sdk import Image, ImageReference, InvalidImageError

from retinue_rekognition.errors import TOO_LARGE, UNSUPPORTED

MAX_REFERENCE_BYTES = 15 * 2**20
"""Maximum bytes of an image in S3 ("Guidelines and quotas in Amazon Rekognition": 15 MB)."""

MAX_SENT_BYTES = 5 * 2**20
"""Maximum bytes of an image in a request (the same page: 5 MB; the API's model: 5,242,880)."""

UNSUPPORTED_SUFFIXES = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIC",
    ".heif": "HEIF",
    ".jp2": "JPEG 2000",
    ".jxl": "JPEG XL",
    ".svg": "SVG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
"""Formats that Rekognition can't read, by the key's suffix. Other images are sent."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def image_parameter(
    image: Image, send: Literal["reference", "bytes"], *, max_sent_bytes: int = MAX_SENT_BYTES
) -> dict[str, Any]:
    """Return the ``Image`` parameter of a request.

    By reference, nothing is fetched. Size and format come from S3's event.

    Raises:
        InvalidImageError: The service would refuse it: ``empty_file``,
            ``image_too_large_for_service`` or ``unsupported_format``. Or reading the image raised
            it.
        RetriableError: It must be sent, and can't be read now.
    """
    if send == "bytes":
        data = image.read()
        _check_size(len(data), max_sent_bytes, "in a request")
        if not data.startswith(_SIGNATURES):
            raise _unsupported("its content is neither JPEG nor PNG")
        return {"Bytes": data}
    reference = image.reference
    if image.size_bytes is not None:
        _check_size(image.size_bytes, MAX_REFERENCE_BYTES, "in S3")
    suffix = _suffix(reference.key)
    if suffix in UNSUPPORTED_SUFFIXES:
        raise _unsupported(f"by its name it is {UNSUPPORTED_SUFFIXES[suffix]}")
    return s3_object(reference)


def s3_object(reference: ImageReference) -> dict[str, Any]:
    """Return the parameter ``Image`` or ``Video`` of a request that names an object."""
    where = {"Bucket": reference.bucket, "Name": reference.key}
    if reference.version_id:
        where["Version"] = reference.version_id
    return {"S3Object": where}


def _suffix(key: str) -> str:
    """Return ``PurePath.suffix`` in lower case, in a tenth of the time."""
    name = key[key.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def _check_size(size_bytes: int, limit_bytes: int, where: str) -> None:
    if size_bytes == 0:
        raise InvalidImageError("the file is empty (0 bytes)", code="empty_file")
    if size_bytes > limit_bytes:
        raise InvalidImageError(
            f"the image has {size_bytes:,} bytes; Rekognition takes {limit_bytes:,} {where}",
            code=TOO_LARGE,
        )


def _unsupported(why: str) -> InvalidImageError:
    return InvalidImageError(f"Rekognition reads JPEG and PNG; {why}", code=UNSUPPORTED)
