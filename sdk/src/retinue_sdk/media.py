"""The media that detectors take: images and videos."""

from enum import StrEnum

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm"}
)
"""Suffixes of keys, in lower case, whose objects are videos. All other objects are images."""


class Media(StrEnum):
    """The medium of an object. Its key decides, because the worker plans before it reads."""

    IMAGE = "image"
    """A picture."""
    VIDEO = "video"
    """Pictures in time. A video is an image whose object is a video: it has an image id too."""


def media_of(key: str) -> Media:
    """Return the media of an S3 key or file name, by its suffix in any case."""
    # PurePosixPath would take a fiftieth of the worker's time for each image.
    name, dot, suffix = key.rstrip("/").rpartition("/")[2].rpartition(".")
    is_video = name and dot + suffix.lower() in VIDEO_SUFFIXES
    return Media.VIDEO if is_video else Media.IMAGE
