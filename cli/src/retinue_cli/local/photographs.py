"""Find photographs: the samples of this package, and those in a folder."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from retinue_sdk import Media, media_of

from retinue_cli.local.errors import LaptopError
from retinue_cli.output.picture_names import CONTENT_TYPES, VIDEO_TYPES
from retinue_cli.output.words import escaped

MAX_KEY_BYTES = 1_024
"""Maximum length of an S3 key, in UTF-8."""

_KINDS = {
    "unsupported video": "m2ts wmv flv ts",
    "raw photograph": "dng raw cr2 cr3 nef arw orf raf rw2 pef srw",
    "other picture": "svg psd ai eps xcf ico jp2 j2k jxl ppm pgm tga pcx exr hdr",
    "document": "pdf doc docx odt pages txt md rtf html htm xls xlsx ods csv ppt pptx odp key",
    "sound file": "mp3 m4a wav flac ogg aac",
    "archive": "zip tar gz tgz bz2 xz 7z rar",
    "sidecar file": "xmp aae thm ini db json xml",
}
_KIND_OF = {f".{suffix}": kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}
_NO_PERMISSION = "no permission to read it"
_SAMPLES = Path(__file__).with_name("samples")


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image or video file to upload.

    Attributes:
        path: The file.
        key: Its S3 key, with slashes, in the file system's bytes.
    """

    path: Path
    key: str

    @property
    def is_video(self) -> bool:
        """Return whether it is a video."""
        return media_of(self.key) is Media.VIDEO


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that isn't used.

    Attributes:
        path: The path. It may contain bytes that aren't valid text.
        reason: The reason.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FolderPhotographs:
    """The content of a folder.

    Attributes:
        photographs: The images, sorted by key.
        skipped: Images and folders that can't be used.
        repeated: Links to files and folders that are included anyway. Each file is used once.
        others: Files that aren't images by their names, by kind.
    """

    photographs: tuple[Photograph, ...]
    skipped: tuple[SkippedFile, ...] = ()
    repeated: tuple[SkippedFile, ...] = ()
    others: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    @property
    def has_videos(self) -> bool:
        """Return whether a file is a video."""
        return any(photograph.is_video for photograph in self.photographs)


def package_photographs() -> list[Photograph]:
    """Return the photographs of this package."""
    return [Photograph(path, path.name) for path in sorted(_SAMPLES.glob("*.jpg"))]


def folder_of(path: Path) -> Path:
    """Return the folder that the user named, or the folder of the named file."""
    path = path.expanduser()
    return path if os.path.isdir(path) else path.parent  # noqa: PTH112 - answers any name


def folder_photographs(path: Path) -> FolderPhotographs:
    """Return all images and videos in a folder and its subfolders, by the suffixes of their names.

    Links are followed, unless they lead to a folder above. A file or folder that is reached twice
    counts once. Hidden files and folders are skipped.

    Args:
        path: The folder, or one image file.

    Raises:
        LaptopError: The folder doesn't exist, can't be read, or has no usable image.
    """
    found = search(path)
    if not found.photographs:
        raise nothing_found([path], found)
    return found


def search(path: Path, key_of: Callable[[Path], str] | None = None) -> FolderPhotographs:
    """Return the same, even if the folder has no usable image, or can't be read.

    Args:
        path: The folder, or one image file.
        key_of: Returns a file's key. The default is the path below the folder.

    Raises:
        LaptopError: The folder or file doesn't exist.
    """
    path = path.expanduser()
    is_folder = os.path.isdir(path)  # noqa: PTH112 - any name is answered, even one too long
    root = path if is_folder else path.parent
    found = _Files(root)
    if is_folder:
        found.walk()
    elif os.path.lexists(path):
        found.files.append(path)
    else:
        raise LaptopError(f"there is no folder or file {shown(path)}{_elsewhere(path)}")
    return found.sorted_out(key_of or (lambda file: file.relative_to(root).as_posix()))


def _elsewhere(path: Path) -> str:
    """Return the remedy for an address: ``https:/host/name``, as a path spells it."""
    scheme = re.match(r"([a-z][a-z0-9]+):/", str(path))
    if scheme is None:
        return ""
    if scheme[1] == "s3":
        return "; `retinue backfill` processes images that are in a bucket"
    return "; download it first"


def nothing_found(paths: Sequence[Path], found: FolderPhotographs) -> LaptopError:
    """Return the error for folders and files without an image."""
    names = ", ".join(shown(path.expanduser()) for path in paths[:3])
    names += ", …" if len(paths) > 3 else ""
    itself = [one.reason for one in found.skipped if [one.path] == [p.expanduser() for p in paths]]
    if itself:
        return LaptopError(f"{names} cannot be read: {itself[0]}")
    is_file = len(paths) == 1 and folder_of(paths[0]) != paths[0].expanduser()
    lines = [f"{names} is not an image" if is_file else f"there is no image in {names}"]
    if found.others and not is_file:
        lines.append(f"    {passed_over(found.others)}")
    lines += [f"    {shown(one.path)}: {one.reason}" for one in found.skipped[:10]]
    lines.append(f"Images and videos are recognised by their suffix: {_READ}.")
    return LaptopError("\n".join(lines))


def passed_over(others: Mapping[str, Iterable[Path]]) -> str:
    """Return the kinds of skipped files, with a few names of each."""
    kinds = []
    for kind, paths in sorted(others.items()):
        names = [shown(Path(path.name)) for path in paths]
        examples = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        kinds.append(f"{len(names):,} {kind}{'s' * (len(names) > 1)} ({examples})")
    return f"passed over: {'; '.join(kinds)}"


class _Files:
    """The files of a folder, before photographs are separated."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files: list[Path] = []
        self._hidden: dict[str, list[Path]] = {}
        self._skipped: list[SkippedFile] = []
        self._repeated: list[SkippedFile] = []

    def walk(self) -> None:
        """Walk the folder and its subfolders."""
        root = self._root
        above = {_identity(folder.stat()) for folder in root.resolve().parents}
        seen: dict[tuple[int, int], Path] = {}
        # Links come last, so that a target below the root keeps its own name.
        folders, links = deque([root]), deque[Path]()
        while folders or links:
            folder = (folders or links).popleft()
            try:
                identity = _identity(folder.stat())
                if identity in above:
                    self._repeated.append(SkippedFile(folder, "is a folder above this one"))
                    continue
                first = seen.setdefault(identity, folder)
                if first != folder:
                    self._repeated.append(SkippedFile(folder, f"is {_below(first, root)}"))
                    continue
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._skipped.append(SkippedFile(folder, _words(error)))
                continue
            for entry in listed:
                path = folder / entry.name
                if entry.name.startswith("."):
                    kind = "hidden folder" if _is_folder(entry) else "hidden file"
                    self._hidden.setdefault(kind, []).append(path)
                elif not _is_folder(entry):
                    self.files.append(path)
                else:
                    (links if entry.is_symlink() else folders).append(path)

    def sorted_out(self, key_of: Callable[[Path], str]) -> FolderPhotographs:
        """Separate the photographs from the other files."""
        photographs: list[Photograph] = []
        others = dict(self._hidden)
        taken: dict[tuple[int, int], Path] = {}
        for file in sorted(self.files, key=os.path.islink):
            suffix = file.suffix.lower()
            if suffix not in CONTENT_TYPES and suffix not in VIDEO_TYPES:
                others.setdefault(_KIND_OF.get(suffix, "other file"), []).append(file)
                continue
            key = key_of(file)
            problem = _problem(key)
            try:
                status = file.stat()
            except OSError as error:
                is_dangling = isinstance(error, FileNotFoundError)
                reason = "the link is broken" if is_dangling else _words(error)
                self._skipped.append(SkippedFile(file, reason))
                continue
            if not S_ISREG(status.st_mode):
                problem = "not a regular file"
            elif not os.access(file, os.R_OK):
                problem = _NO_PERMISSION
            first = file if problem else taken.setdefault(_identity(status), file)
            if problem:
                self._skipped.append(SkippedFile(file, problem))
            elif first != file:
                self._repeated.append(SkippedFile(file, f"is {_below(first, self._root)}"))
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
    """Return why S3 can't store a file under a key; ``None`` if it can."""
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, which S3 requires: rename it"
    if size_bytes > MAX_KEY_BYTES:
        return f"its path has {size_bytes:,} bytes; S3 keys have {MAX_KEY_BYTES:,} at most"
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return a value that is the same for all names of a file."""
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # an endless chain of links
        return False


def _below(path: Path, root: Path) -> str:
    return "the folder itself" if path == root else shown(path.relative_to(root))


def _words(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return _NO_PERMISSION
    return error.strerror or str(error)


def shown(path: Path) -> str:
    """Return a path for a message, with any bytes."""
    return escaped(os.fsencode(path).decode("utf-8", errors="backslashreplace"))


_READ = " ".join(suffix.lstrip(".") for suffix in [*CONTENT_TYPES, *VIDEO_TYPES])
