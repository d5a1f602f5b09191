"""The names of a person's folders: what their photographs' keys begin with."""

from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path, PurePosixPath

from retinue_cli.local.kept_names import read_names, write_names


class Folders:
    """The folders that were run, by name. A key is a folder's name and a photograph's path in it.

    A folder goes by its own name: that of ``IMG_7.jpg`` in ``/home/ann/holiday`` is
    ``holiday/IMG_7.jpg``. If another folder has that name, it goes by more of its path:
    ``ann/holiday``. A folder inside a known one belongs to that one, so that a file has one key.

    Args:
        file: Where the names are kept; it need not exist.

    Raises:
        LaptopError: The file can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        kept = read_names(
            file,
            "It says which folder each key's name stands for. Restore it, or delete it with the "
            "rest of its folder.",
        )
        self._names = {Path(path): PurePosixPath(name) for name, path in kept.items()}

    def add(self, root: Path) -> Callable[[Path], str]:
        """Make a folder known, and return what gives the keys of the files below it.

        Args:
            root: The folder. Links above it are resolved, those below it are not.
        """
        resolved = root.resolve()
        if self._named(resolved) is None:
            self._names[resolved] = self._free_name(resolved)
        return lambda file: str(self._named(resolved / file.relative_to(root)))

    def name(self, root: Path) -> str:
        """Return what the keys of a known folder begin with."""
        return str(self._named(root.resolve()))

    def path(self, key: str) -> Path | None:
        """Return the file that a key stands for, whether or not it exists; ``None`` if unknown."""
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
        """Keep the names.

        Raises:
            LaptopError: The file can't be written.
        """
        write_names(self._file, {str(name): str(path) for path, name in self._names.items()})

    def _named(self, path: Path) -> PurePosixPath | None:
        """A path by the name of the innermost known folder that is it or holds it."""
        for folder in (path, *path.parents):
            if folder in self._names:
                return self._names[folder] / path.relative_to(folder)
        return None

    def _free_name(self, path: Path) -> PurePosixPath:
        return next(name for name in _candidates(path) if self._is_free(name, path))

    def _is_free(self, name: PurePosixPath, path: Path) -> bool:
        """Return whether no key of another folder's photographs can begin with this name."""
        return not any(
            name.is_relative_to(other)
            or (other.is_relative_to(name) and folder != path / other.relative_to(name))
            for folder, other in self._names.items()
        )


def _candidates(path: Path) -> Iterator[PurePosixPath]:
    """Names for a folder, the plainest first: more and more of its path, then with a number."""
    parts = path.parts[1:] or ("files",)  # of the root of the file system
    longer = (PurePosixPath(*parts[-length:]) for length in range(1, len(parts) + 1))
    return chain(longer, (PurePosixPath(f"{parts[-1]}-{number}") for number in count(2)))
