"""Remove a laptop's traces of images outside the history: pictures and log lines."""

import errno
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.state import State

_NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
"""Errors of a file's removal if no file has the name, or can have it."""

NOT_REACHED = (
    "not reached: the photographs themselves, pictures of `retinue show`, `detect` and `models "
    "verify`, exports, backups, and PostgreSQL's own files until it reuses the space"
)
"""Traces that stay on a laptop."""


def remove_traces(state: State, images: Mapping[UUID, str]) -> tuple[int, int]:
    """Remove pictures, with boxes and of the console, and log lines that name an image.

    Args:
        state: The laptop's folder, locked, so that no worker writes to its logs.
        images: Keys by image id.

    Returns:
        The numbers of pictures and lines.

    Raises:
        LaptopError: A file can't be removed or written.
    """
    keys = set(images.values())
    pictures = remove_pictures(state, images)
    try:
        needles = {needle for key in keys for needle in _spellings(key)}
        needles |= {str(image_id).encode() for image_id in images}
        logs = [*state.logs.glob("*.log"), *state.postgres.glob("*.log")]
        lines = sum(_remove_lines(log, needles) for log in logs) if needles else 0
    except OSError as error:
        raise LaptopError(f"cannot remove {error.filename}: {error.strerror or error}") from error
    return pictures, lines


def remove_pictures(state: State, images: Mapping[UUID, str]) -> int:
    """Remove pictures of images, with boxes and of the console, and return their number.

    Raises:
        LaptopError: A file can't be removed.
    """
    try:
        drawn = sum(_remove_drawn(state, key) for key in set(images.values()))
        return drawn + sum(_remove_cached(state, image_id) for image_id in images)
    except OSError as error:
        raise LaptopError(f"cannot remove {error.filename}: {error.strerror or error}") from error


def _remove_drawn(state: State, key: str) -> int:
    """Remove a photograph's picture, or those of a video's frames."""
    pictures = [state.picture(key)]
    try:
        pictures += [file for file in state.frames(key).iterdir() if file.suffix == ".jpg"]
    except OSError as error:
        if error.errno not in _NO_SUCH_FILE:
            raise
    return sum(_remove_picture(state, picture) for picture in pictures)


def _remove_picture(state: State, picture: Path) -> bool:
    try:
        picture.unlink()
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return False
        raise
    for folder in picture.parents:
        if folder == state.annotated or any(folder.iterdir()):
            break
        folder.rmdir()
    return True


def _remove_cached(state: State, image_id: UUID) -> int:
    files = list(state.pictures.glob(f"{image_id.hex[:2]}/{image_id}.*"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def _spellings(key: str) -> set[bytes]:
    """Return a key's forms in logs: plain, in JSON, and in a URL."""
    return {
        key.encode(errors="surrogateescape"),
        json.dumps(key)[1:-1].encode(),
        json.dumps(key, ensure_ascii=False)[1:-1].encode(errors="surrogateescape"),
        quote(key, errors="surrogateescape").encode(),
        quote(key, safe="", errors="surrogateescape").encode(),
    }


def _remove_lines(log: Path, needles: Collection[bytes]) -> int:
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not any(needle in line for needle in needles)]
    if len(kept) < len(lines):
        log.write_bytes(b"".join(kept))  # in place, because PostgreSQL has its log open
    return len(lines) - len(kept)
