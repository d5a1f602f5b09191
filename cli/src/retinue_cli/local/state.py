"""The ``.retinue`` folder, which keeps a laptop's data between runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from retinue_cli.local.errors import LaptopError
from retinue_cli.output.picture_names import picture_path

NAME = ".retinue"

ENDING_SECONDS = 3.0
"""How long to wait for another run that is about to end."""


class State:
    """The folders and files of ``.retinue``. ``prepare`` creates them.

    Args:
        directory: The folder itself, not the one that contains it.
    """

    def __init__(self, directory: Path) -> None:
        # A chain of symlinks or a later chdir must not turn one folder into two.
        self.directory = directory.expanduser().resolve()

    @classmethod
    def find(cls, start: Path | None = None) -> Self:
        """Find the nearest ``.retinue`` at or above ``start``, as git finds ``.git``.

        Other users' folders are skipped, because one in ``/tmp`` could be an attack, and Postgres
        would refuse it. That holds for root, too: in such a folder, links of another user would
        make root write anywhere.

        Args:
            start: The first folder. The default is the current directory.

        Returns:
            The folder, or the one that ``prepare`` will create in ``start``.
        """
        start = (start or Path.cwd()).resolve()
        for parent in (start, *start.parents):
            if _is_ours(parent / NAME):
                return cls(parent / NAME)
        return cls(start / NAME)

    @property
    def postgres(self) -> Path:
        """Return the folder of Postgres: its data directory, log and locks."""
        return self.directory / "postgres"

    @property
    def emulator(self) -> Path:
        """Return the scratch space of the AWS emulator."""
        return self.directory / "emulator"

    @property
    def logs(self) -> Path:
        """Return the folder of the background programs' logs."""
        return self.directory / "logs"

    @property
    def annotated(self) -> Path:
        """Return the folder of photographs with boxes."""
        return self.directory / "annotated"

    def picture(self, key: str) -> Path:
        """Return the path of a key's photograph with boxes."""
        return picture_path(self.annotated, key)

    def frames(self, key: str) -> Path:
        """Return the folder of pictures of a key's video.

        It is named like the video, so that no photograph's folder has the same name.
        """
        return self.annotated / key

    @property
    def pictures(self) -> Path:
        """Return the console's cache of pictures, in files named after image ids."""
        return self.directory / "pictures"

    @property
    def folders(self) -> Path:
        """Return the file of the folders' names."""
        return self.directory / "folders.json"

    @property
    def plugin_code(self) -> Path:
        """Return the file of the plugins' code digests."""
        return self.directory / "plugin_code.json"

    @property
    def processes(self) -> Path:
        """Return the register of running child processes."""
        return self.directory / "processes.json"

    def prepare(self) -> None:
        """Create the folders.

        Raises:
            LaptopError: They can't be created or written, or another user controls them.
        """
        folders = (self.postgres, self.emulator, self.logs, self.annotated)
        if self.directory.is_dir() and not _is_ours(self.directory):
            raise LaptopError(
                f"{self.directory} belongs to another user. Work as that user, or in another folder"
            )
        if links := [str(path) for path in folders if path.is_symlink()]:
            raise LaptopError(
                f"{', '.join(links)} must be a folder, not a symbolic link: remove the link"
            )
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.directory / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")  # prevents committing a database
        except OSError as error:
            raise LaptopError(
                f"cannot write to {self.directory}: {error.strerror or error}. "
                "Choose another folder, or make this one writable."
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one ``retinue run``. The kernel releases it when the process ends.

        Raises:
            LaptopError: Another run holds it.
        """
        self.prepare()
        holder = self.directory / "run.pid"
        lock = FileLock(self.directory / "run.lock", timeout=ENDING_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise LaptopError(_held_message(self.directory, holder)) from None
        try:
            holder.write_text(f"{os.getpid()}\n", encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _is_ours(directory: Path) -> bool:
    """Return whether the current user owns the folder, and the link to it if it is one."""
    try:
        owners = {directory.stat().st_uid, directory.lstat().st_uid}
        return directory.is_dir() and owners == {os.geteuid()}
    except OSError:
        return False


def _held_message(directory: Path, holder: Path) -> str:
    try:
        pid = int(holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # between taking the lock and writing the pid
        return f"another `retinue run` is using {directory}. Stop it first."
    return (
        f"another `retinue run` (pid {pid}) is using {directory}. Stop it with Ctrl-C in its "
        f"terminal or `kill {pid}`, or run in another folder."
    )
