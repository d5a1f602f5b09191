"""Photographs to begin with: those that come with this package, and those in a folder."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from retinue_cli.local.errors import LaptopError
from retinue_cli.output.words import escaped

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
"""Suffixes of image files, in lower case, and the media types they stand for."""

MAX_KEY_BYTES = 1_024
"""Longest S3 key, in UTF-8."""

_KINDS = {
    "video": "mp4 m4v mov avi mkv webm 3gp mts m2ts wmv mpg mpeg",
    "raw photograph": "dng raw cr2 cr3 nef arw orf raf rw2 pef srw",
    "other picture": "svg psd ai eps xcf ico jp2 j2k jxl ppm pgm tga pcx exr hdr",
    "document": "pdf doc docx odt pages txt md rtf html htm xls xlsx ods csv ppt pptx odp key",
    "sound file": "mp3 m4a wav flac ogg aac",
    "archive": "zip tar gz tgz bz2 xz 7z rar",
    "sidecar file": "xmp aae thm ini db json xml",
}
_KIND_OF = {f".{suffix}": kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}
_HIDDEN = "hidden file"

_SAMPLES = Path(__file__).with_name("samples")


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
    """A file or folder that isn't used.

    Attributes:
        path: Which one; it may hold bytes that are not valid text.
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
        repeated: Links to files and folders that are there anyway; each file is used once.
        others: Files that aren't images by their names, by kind.
    """

    photographs: tuple[Photograph, ...]
    skipped: tuple[SkippedFile, ...] = ()
    repeated: tuple[SkippedFile, ...] = ()
    others: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)


def package_photographs() -> list[Photograph]:
    """Return the photographs that come with this package."""
    return [Photograph(path, path.name) for path in sorted(_SAMPLES.glob("*.jpg"))]


def folder_of(path: Path) -> Path:
    """Return the folder that a person means who names a folder, or a file in it."""
    path = path.expanduser()
    return path if path.is_dir() else path.parent


def folder_photographs(
    path: Path, key_of: Callable[[Path], str] | None = None
) -> FolderPhotographs:
    """All images in a folder and the folders below it, by the suffixes of their names.

    Links are followed. A file or folder that is reached twice counts once. Hidden files and folders
    are passed over.

    Args:
        path: The folder, or one image file.
        key_of: Returns a file's key; the path below the folder when omitted.

    Raises:
        LaptopError: There is no such folder, it cannot be read, or no image in it can be used.
    """
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        found = _Files()
        if S_ISDIR(mode):
            found.walk(path)
        else:
            found.files.append(path)
        root = path if S_ISDIR(mode) else path.parent
        result = found.sorted_out(key_of or (lambda file: file.relative_to(root).as_posix()))
    except FileNotFoundError as error:
        raise LaptopError(f"there is no folder or file {shown(path)}") from error
    except (OSError, ValueError) as error:
        raise LaptopError(f"{shown(path)} cannot be read: {error}") from error
    if not result.photographs:
        lines = [f"{shown(path)} has no image that can be used."]
        lines += [f"    {passed_over(result.others)}"] if result.others else []
        lines += [f"    {shown(one.path)}: {one.reason}" for one in result.skipped[:10]]
        raise LaptopError("\n".join([*lines, f"Files count as images by their suffix: {_READ}."]))
    return result


def passed_over(others: Mapping[str, Iterable[Path]]) -> str:
    """Say of what kind the files are that aren't images, with a few names of each."""
    kinds = []
    for kind, paths in sorted(others.items()):
        names = [shown(Path(path.name)) for path in paths]
        examples = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        kinds.append(f"{len(names):,} {kind}{'s' * (len(names) > 1)} ({examples})")
    return f"passed over: {'; '.join(kinds)}"


class _Files:
    """The files of a folder, before it is known which of them are photographs."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self._hidden: list[Path] = []
        self._skipped: list[SkippedFile] = []
        self._repeated: list[SkippedFile] = []

    def walk(self, root: Path) -> None:
        """Go through a folder and those below it."""
        seen: dict[tuple[int, int], Path] = {}
        # Links come last, so that what they lead to keeps its own name if it is below the root.
        folders, links = deque([root]), deque[Path]()
        while folders or links:
            folder = (folders or links).popleft()
            try:
                status = folder.stat()
                first = seen.setdefault((status.st_dev, status.st_ino), folder)
                if first != folder:
                    self._repeated.append(SkippedFile(folder, f"is {_below(first, root)}"))
                    continue
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                if folder == root:
                    raise
                self._skipped.append(SkippedFile(folder, _words(error)))
                continue
            for entry in listed:
                path = folder / entry.name
                if entry.name.startswith("."):
                    self._hidden.append(path)
                elif not _is_folder(entry):
                    self.files.append(path)
                else:
                    (links if entry.is_symlink() else folders).append(path)

    def sorted_out(self, key_of: Callable[[Path], str]) -> FolderPhotographs:
        """Tell the photographs from the rest."""
        photographs: list[Photograph] = []
        others: dict[str, list[Path]] = {_HIDDEN: self._hidden} if self._hidden else {}
        taken: dict[tuple[int, int], Path] = {}
        for file in sorted(self.files, key=os.path.islink):
            suffix = file.suffix.lower()
            if suffix not in CONTENT_TYPES:
                others.setdefault(_KIND_OF.get(suffix, "other file"), []).append(file)
                continue
            key = key_of(file)
            problem = _problem(key)
            try:
                status = file.stat()
            except OSError as error:
                is_dangling = isinstance(error, FileNotFoundError)
                reason = "it is a link that leads nowhere" if is_dangling else _words(error)
                self._skipped.append(SkippedFile(file, reason))
                continue
            if not S_ISREG(status.st_mode):
                problem = "it is not a regular file"
            elif not os.access(file, os.R_OK):
                problem = "no permission to read it"
            first = file if problem else taken.setdefault((status.st_dev, status.st_ino), file)
            if problem:
                self._skipped.append(SkippedFile(file, problem))
            elif first != file:
                self._repeated.append(SkippedFile(file, f"is {shown(Path(first.name))}"))
            else:
                photographs.append(Photograph(file, key))
        photographs.sort(key=lambda photograph: photograph.key)
        return FolderPhotographs(
            tuple(photographs),
            tuple(self._skipped),
            tuple(self._repeated),
            {kind: tuple(paths) for kind, paths in others.items()},
        )


def _problem(key: str) -> str | None:
    """Return why S3 cannot hold a file under a key; none if it can."""
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, as S3 wants: rename it"
    if size_bytes > MAX_KEY_BYTES:
        return f"its path has {size_bytes:,} bytes; S3 keys have {MAX_KEY_BYTES:,} at most"
    return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a chain of links that never ends
        return False


def _below(path: Path, root: Path) -> str:
    return "the folder itself" if path == root else shown(path.relative_to(root))


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def shown(path: Path) -> str:
    """Return a path for a message, whatever bytes it has."""
    return escaped(os.fsencode(path).decode("utf-8", errors="backslashreplace"))


_READ = " ".join(suffix.lstrip(".") for suffix in CONTENT_TYPES)
