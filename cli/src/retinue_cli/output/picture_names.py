"""Names of image files, and of the pictures that are drawn of them."""

from pathlib import Path

CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".avif": "image/avif",
}
"""Suffixes of image files in lower case, with their media types."""

VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".3gp": "video/3gpp",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".mts": "video/mp2t",
}
"""Suffixes of video files in lower case, with their media types."""


def picture_path(folder: Path, name: str) -> Path:
    """Return the path of a photograph with boxes. Each photograph has its own JPEG.

    ``a/cat.jpg`` keeps its name, and ``a/cat.png`` becomes ``a/cat-png.jpg``, so that both can
    exist.
    """
    path = folder / name
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    if is_jpeg and f".{path.stem.rpartition('-')[2].lower()}" not in CONTENT_TYPES:
        return path
    return path.with_name(f"{path.stem}-{path.suffix[1:]}.jpg")
