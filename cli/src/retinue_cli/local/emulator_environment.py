"""Create a Python environment for the emulator alone, because it pins its own botocore."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.uv_program import INSTALL_SECONDS, UvError, run_uv

VERSION = "1.5.33"
REQUIREMENTS = Path(__file__).with_name("emulator_requirements.txt")


class EmulatorEnvironment:
    """The environment, created once per user and Python, and then used offline.

    Args:
        cache: The folder of the environment. The default is the user's cache folder.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or user_cache_path("retinue", appauthor=False)
        content = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]
        major, minor = sys.version_info[:2]
        self.directory = self._cache / f"ministack-{VERSION}-python{major}.{minor}-{content}"

    @property
    def python(self) -> Path:
        """Return the interpreter that has the emulator."""
        return self.directory / "bin" / "python"

    def ensure(self, on_install: Callable[[], None] = lambda: None) -> Path:
        """Create the environment unless it exists.

        It is created under another name and renamed when complete. An existing environment is
        therefore complete.

        Args:
            on_install: Called before an installation, which takes seconds and needs the network.

        Returns:
            The interpreter that has the emulator.

        Raises:
            LaptopError: It can't be created.
        """
        # exists() follows the link, so it is false if an upgrade removed its Python.
        if self.python.exists():
            return self.python
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with FileLock(self._cache / "emulator.lock", timeout=INSTALL_SECONDS):
                if not self.python.exists():  # another process may have created it meanwhile
                    on_install()
                    self._make()
        except Timeout as error:
            raise LaptopError(
                f"another process has been installing the emulator in {self._cache} for over "
                f"{INSTALL_SECONDS} s. End it, and run again."
            ) from error
        except OSError as error:
            raise LaptopError(
                f"cannot install the AWS emulator in {self._cache}: {error}. "
                "Make room there, or set XDG_CACHE_HOME to another folder."
            ) from error
        return self.python

    def _make(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self._remove_drafts()
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._cache))
        try:
            environment = draft / "environment"
            self._uv("venv", "--python", sys.executable, environment)
            self._uv(
                *("pip", "install", "--python", environment / "bin" / "python"),
                *("--require-hashes", "--requirement", REQUIREMENTS),
            )
            environment.rename(self.directory)
        finally:
            # Again, because the uv of a killed attempt outlives it, and may have written again.
            self._remove_drafts()

    def _remove_drafts(self) -> None:
        """Remove incomplete environments. The caller's lock ensures that none is in use."""
        for draft in self._cache.glob(".draft-*"):
            shutil.rmtree(draft, ignore_errors=True)

    def _uv(self, *arguments: str | Path) -> None:
        try:
            # In the cache folder, so that only the user's uv settings apply, not a project's.
            run_uv(*arguments, cwd=self._cache)
        except UvError as error:
            raise LaptopError(
                f"the AWS emulator (ministack {VERSION}) cannot be installed:\n{error}\n"
                "It is installed once, and needs PyPI for that: connect to the network, or set "
                "UV_DEFAULT_INDEX to your mirror, and run again. Or use a LocalStack that runs "
                "already: set LOCALSTACK_HOST=host:port."
            ) from error

    def discard(self) -> None:
        """Remove the environment, so that the next ``ensure`` creates a new one."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
