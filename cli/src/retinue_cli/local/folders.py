"""Names of the user's folders, which prefix their photographs' keys."""

from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path, PurePosixPath

from retinue_cli.local.kept_names import read_names, write_names


class Folders:
    """The folders that were run, by name.

    A key is a folder's name and a photograph's path in it.

    The key of ``IMG_7.jpg`` in ``/home/ann/holiday`` is ``holiday/IMG_7.jpg``. If another folder
    has the same name, the name includes more of the path: ``ann/holiday``. A folder inside a known
    one uses the known one's name, so that a file has one key.

    Args:
        file: The file of the names. It may be missing.

    Raises:
        LaptopError: The file can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        kept = read_names(
            file,
            "It has the folder of each key's first part. Restore it, or delete it with the "
            "rest of its folder.",
        )
        self._names = {Path(path): PurePosixPath(name) for name, path in kept.items()}

    def add(self, root: Path) -> Callable[[Path], str]:
        """Add a folder, and return a function that gives the keys of the files in it.

        Args:
            root: The folder. Links above it are resolved, those below it aren't.
        """
        resolved = root.resolve()
        if self._named(resolved) is None:
            self._names[resolved] = self._free_name(resolved)
        return lambda file: str(self._named(resolved / file.relative_to(root)))

    def name(self, root: Path) -> str:
        """Return the key prefix of a known folder."""
        return str(self._named(root.resolve()))

    def is_renamed(self, root: Path) -> bool:
        """Return whether a folder's prefix isn't its name, because another folder has that name."""
        resolved = root.resolve()
        name = self._names.get(resolved)
        return name is not None and resolved.name not in ("", str(name))

    def path(self, key: str) -> Path | None:
        """Return the file of a key, even if it doesn't exist; ``None`` if unknown."""
        of_key = PurePosixPath(key)
        found = [
            (folder, of_key.relative_to(name))
            for folder, name in self._names.items()
            if of_key.is_relative_to(name)
        ]
        if not found:
            return None
        folder, rest = min(found, key=lambda one: len(one[1].parts))
        return folder / rest

    def save(self) -> None:
        """Save the names.

        Raises:
            LaptopError: The file can't be written.
        """
        write_names(self._file, {str(name): str(path) for path, name in self._names.items()})

    def _named(self, path: Path) -> PurePosixPath | None:
        """Return a path relative to the innermost known folder, with that folder's name."""
        for folder in (path, *path.parents):
            if folder in self._names:
                return self._names[folder] / path.relative_to(folder)
        return None

    def _free_name(self, path: Path) -> PurePosixPath:
        return next(name for name in _candidates(path) if self._is_free(name, path))

    def _is_free(self, name: PurePosixPath, path: Path) -> bool:
        """Return whether no key of another folder begins with this name."""
        return not any(
            name.is_relative_to(other)
            or (other.is_relative_to(name) and folder != path / other.relative_to(name))
            for folder, other in self._names.items()
        )


def _candidates(path: Path) -> Iterator[PurePosixPath]:
    """Yield names for a folder, the shortest first: more of its path, then with a number."""
    parts = path.parts[1:] or ("files",)  # of the root of the file system
    longer = (PurePosixPath(*parts[-length:]) for length in range(1, len(parts) + 1))
    return chain(longer, (PurePosixPath(f"{parts[-1]}-{number}") for number in count(2)))
