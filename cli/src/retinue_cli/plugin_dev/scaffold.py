"""A plugin to begin with, from the template in ``plugins/_template``."""

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from retinue_sdk import ConfigurationError

_PACKAGED = Path(__file__).with_name("template")

TEMPLATE = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[4] / "plugins" / "_template"
"""The template's files: a wheel holds a copy of ``plugins/_template``, a checkout the folder."""

SUFFIX = ".j2"
"""What the templates' names end with, so that no tool takes them for Python or TOML."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class PluginNames:
    """What a plugin's parts are called.

    Attributes:
        name: The detector and its distribution, such as ``acme-logos``.
        module: The package, ``acme_logos``.
        cls: The detector's class, ``AcmeLogos``.
        title: For people, ``Acme logos``.
    """

    name: str
    module: str
    cls: str
    title: str

    @classmethod
    def of(cls, name: str) -> "PluginNames":
        """The names that follow from the detector's.

        Raises:
            ConfigurationError: It cannot be a detector's name, or would hide a module of Python's.
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


def write_plugin(names: PluginNames, folder: Path) -> list[Path]:
    """Write a plugin that works already.

    Args:
        names: What its parts are called.
        folder: Where; it must not exist.

    Returns:
        The files, sorted.

    Raises:
        ConfigurationError: The folder exists, or cannot be written, or jinja2 is not installed.
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
        raise ConfigurationError(f"{folder} cannot be written: {error}") from error
    return sorted(written)


def _next(release: str) -> str:
    """The first version that may break a plugin: the next minor one before 1.0, major after it."""
    major, minor = (int(part) for part in release.split(".")[:2])
    return f"0.{minor + 1}" if major == 0 else f"{major + 1}"
