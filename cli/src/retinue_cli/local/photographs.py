"""Photographs to begin with: those inside installed packages, and those in a folder."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from retinue_cli.local.errors import LaptopError

CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""Suffixes of image files, in lower case, and the media types they stand for."""

MAX_KEY_BYTES = 1_024
"""Longest S3 key, in UTF-8."""

_PACKAGES = {
    "skimage": (
        "data/astronaut.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/motorcycle_left.png",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image file to upload.

    Attributes:
        path: The file.
        key: Its S3 key, with slashes, in the file system's own bytes.
    """

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that cannot be used.

    Attributes:
        path: Which one; it may hold bytes that are not valid text (print it with ``repr``).
        reason: Why not.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FolderPhotographs:
    """What a folder holds.

    Attributes:
        photographs: The images, sorted by key.
        skipped: What looks like an image, or may hold some, and cannot be used.
        others: How many files are no images by their names; hidden ones do not count.
    """

    photographs: tuple[Photograph, ...]
    skipped: tuple[SkippedFile, ...]
    others: int


def package_photographs() -> list[Photograph]:
    """Photographs that come with installed packages, which are not imported.

    Raises:
        LaptopError: None of the packages is installed.
    """
    found = []
    for package, files in _PACKAGES.items():
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        paths = [Path(folder, file) for folder in folders for file in files]
        found += [Photograph(path, path.name) for path in paths if path.is_file()]
    if not found:
        raise LaptopError(
            "no photographs to begin with: none of scikit-image, scikit-learn and matplotlib is "
            "installed. Install retinue-cli with its extra `local`, or name a folder of your "
            "own."
        )
    return found


def folder_of(path: Path) -> Path:
    """Return the folder that a person means who names a folder, or a file in it."""
    path = path.expanduser()
    return path if path.is_dir() else path.parent


def folder_photographs(
    path: Path, key_of: Callable[[Path], str] | None = None
) -> FolderPhotographs:
    """All images in a folder and the folders below it, by the suffixes of their names.

    Links are followed, and a folder that is reached twice counts once. Hidden files and folders
    are passed over.

    Args:
        path: The folder, or one image file.
        key_of: Returns a file's key; the path below the folder when omitted.

    Raises:
        LaptopError: There is no such folder, it cannot be read, or no image in it can be used.
    """
    suffixes = " ".join(suffix.lstrip(".") for suffix in CONTENT_TYPES)
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        files = _walk(path) if S_ISDIR(mode) else iter([path])
        root = path if S_ISDIR(mode) else path.parent
        found = _sort_out(files, key_of or (lambda file: file.relative_to(root).as_posix()))
    except FileNotFoundError as error:
        raise LaptopError(f"there is no folder or file {_shown(path)}") from error
    except (OSError, ValueError) as error:
        raise LaptopError(f"{_shown(path)} cannot be read: {error}") from error
    if not found.photographs:
        reasons = "".join(f"\n    {_shown(s.path)}: {s.reason}" for s in found.skipped[:10])
        raise LaptopError(
            f"{_shown(path)} has no image that can be used, among {found.others} other files. "
            f"Files count as images by their suffix: {suffixes}.{reasons}"
        )
    return found


def _sort_out(
    files: Iterator[Path | SkippedFile], key_of: Callable[[Path], str]
) -> FolderPhotographs:
    photographs, skipped, others = [], [], 0
    for file in files:
        if isinstance(file, SkippedFile):
            skipped.append(file)
        elif file.suffix.lower() not in CONTENT_TYPES:
            others += 1
        else:
            key = key_of(file)
            if problem := _problem(file, key):
                skipped.append(SkippedFile(file, problem))
            else:
                photographs.append(Photograph(file, key))
    photographs.sort(key=lambda photograph: photograph.key)
    return FolderPhotographs(tuple(photographs), tuple(skipped), others)


def _problem(file: Path, key: str) -> str | None:
    """Why a file cannot be uploaded; none if it can."""
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, as S3 wants: rename it"
    if size_bytes > MAX_KEY_BYTES:
        return f"its path has {size_bytes:,} bytes; S3 keys have {MAX_KEY_BYTES:,} at most"
    try:
        regular = S_ISREG(file.stat().st_mode)
    except OSError as error:
        return error.strerror or str(error)
    if not regular:
        return "it is not a regular file"
    return None if os.access(file, os.R_OK) else "no permission to read it"


def _walk(root: Path) -> Iterator[Path | SkippedFile]:
    """The files below a folder in the order of their paths; folders that fail, as skipped."""
    seen: set[tuple[int, int]] = set()

    def walk(folder: Path) -> Iterator[Path | SkippedFile]:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in seen:  # a link back, or aside
            return
        seen.add(identity)
        with os.scandir(folder) as entries:
            shown = sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                # Real folders come before links to them, so that they keep their own names.
                key=lambda entry: (entry.is_symlink() and _is_folder(entry), entry.name),
            )
        for entry in shown:
            path = folder / entry.name
            if not _is_folder(entry):
                yield path
                continue
            try:
                yield from walk(path)
            except OSError as error:
                yield SkippedFile(path, error.strerror or str(error))

    yield from walk(root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a chain of links that never ends
        return False


def _shown(path: Path) -> str:
    """A path for a message, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
