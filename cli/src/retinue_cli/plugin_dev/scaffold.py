"""Create a plugin from the template in ``plugins/_template``."""

import importlib.util
import keyword
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins

_PACKAGED = Path(__file__).with_name("template")

TEMPLATE = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[4] / "plugins" / "_template"
"""The template's files. A wheel has a copy of ``plugins/_template``, a checkout the folder."""

SUFFIX = ".j2"
"""Suffix of the templates, so that tools don't treat them as Python or TOML."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class PluginNames:
    """The names of a plugin's parts.

    Attributes:
        name: The detector and its distribution, such as ``acme-logos``.
        module: The package, ``acme_logos``.
        cls: The detector's class, ``AcmeLogos``.
        title: The title, ``Acme logos``.
    """

    name: str
    module: str
    cls: str
    title: str

    @classmethod
    def of(cls, name: str) -> "PluginNames":
        """Return the names that follow from the detector's.

        Raises:
            ConfigurationError: It can't be a detector's name, or would hide a Python module.
        """
        form = "lower-case words of letters and digits joined by hyphens, such as acme-logos"
        if not _NAME.fullmatch(name) or len(name) > _MAX_CHARACTERS:
            raise ConfigurationError(
                f"{name!r} cannot name a plugin; the form is: {form}, at most {_MAX_CHARACTERS} "
                "characters"
            )
        module = name.replace("-", "_")
        taken = module in sys.stdlib_module_names or keyword.iskeyword(module)
        if taken or module.startswith("retinue_") or module in ("retinue", "tests"):
            raise ConfigurationError(
                f"{name!r} cannot name a plugin, because a Python module or Retinue itself has "
                "that name; put your own in front, as in acme-logos"
            )
        words = name.split("-")
        return cls(name, module, "".join(map(str.capitalize, words)), " ".join(words).capitalize())


def refuse_taken(names: PluginNames) -> None:
    """Raise if a name is taken by an installed detector or package.

    Raises:
        ConfigurationError: A detector or a Python package has the name. The message names it.
    """
    plugins = Plugins()
    if names.name in plugins.contested:
        raise ConfigurationError(plugins.contested[names.name])
    if (taken := plugins.registrations.get(names.name)) is not None:
        raise ConfigurationError(
            f"{taken.distribution} {taken.distribution_version} has a detector named "
            f"{names.name!r} already; choose another name, such as my-{names.name}"
        )
    if (found := importlib.util.find_spec(names.module)) is not None:
        place = found.origin or next(iter(found.submodule_search_locations or ()), "")
        raise ConfigurationError(
            f"a Python package {names.module!r} is installed already ({place}); choose another "
            f"name, such as my-{names.name}"
        )


def next_steps(name: str, folder: Path) -> list[str]:
    """Return the commands that install, test and run a plugin in this environment."""
    python, retinue = _program("python"), _program("retinue")
    if importlib.util.find_spec("pip") is not None:
        install = f"{python} -m pip install"
    elif "VIRTUAL_ENV" in os.environ or _is_here(Path(sys.prefix)):
        install = "uv pip install"  # finds the environment by itself
    else:
        install = f"uv pip install --python {python}"
    return [
        f"{install} -e {shlex.quote(f'{folder}[dev]')}",
        f"{python} -m pytest {shlex.quote(str(folder))}",
        f"{retinue} plugins check {name}",
        f"{retinue} run --detectors {name}",
    ]


def _program(name: str) -> str:
    """Return the command that calls a program of this environment from the current folder."""
    path = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).absolute() == path:
        return name
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(shown))


def _is_here(environment: Path) -> bool:
    """Return whether uv finds an environment from the current folder."""
    return environment.name == ".venv" and Path.cwd().is_relative_to(environment.parent)


def write_plugin(names: PluginNames, folder: Path) -> list[Path]:
    """Write a working plugin.

    Args:
        names: The names of its parts.
        folder: The new folder. It must not exist.

    Returns:
        The files, sorted.

    Raises:
        ConfigurationError: The folder exists or can't be written, or jinja2 isn't installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ConfigurationError(
            f"`retinue new-plugin` needs the extra `local`: install retinue-cli[local] ({error})"
        ) from error
    environment = Environment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - it writes Python, and the only input is a checked name
    )
    given = {
        "name": names.name,
        "module": names.module,
        "cls": names.cls,
        "title": names.title,
        "sdk": ".".join(version("retinue-sdk").split(".")[:2]),
        "next_sdk": _next(version("retinue-sdk")),
    }
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already, and nothing is overwritten")
    written = []
    try:
        for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
            place = source.relative_to(TEMPLATE).as_posix().removesuffix(SUFFIX)
            path = folder / place.replace("__module__", names.module)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = environment.from_string(source.read_text(encoding="utf-8")).render(given)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror or error}"
        ) from error
    return sorted(written)


def _next(release: str) -> str:
    """Return the first version that may break a plugin: the next minor before 1.0, major after."""
    major, minor = (int(part) for part in release.split(".")[:2])
    return f"0.{minor + 1}" if major == 0 else f"{major + 1}"
