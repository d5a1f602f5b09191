"""Where plugins come from: installed distributions, and files in a folder."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from retinue_sdk import AnyDetector, AsyncDetector, ConfigurationError, Detector, hookimpl
from retinue_sdk.errors import format_error

ENTRY_POINT_GROUP = "retinue"
"""The entry point group by which a distribution says that it is a plugin."""

ONE_FILE = "one file"
"""The version of a plugin that is one Python file."""

SDK = "retinue-sdk"
"""The distribution whose version plugins are written for."""

_DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that can be loaded.

    Attributes:
        name: The entry point's name, or the file's without suffix.
        distribution: What installed it, such as ``retinue-onnx``; for a file, its path.
        version: The distribution's version; ``ONE_FILE`` for a file.
        load: Imports it.

    ``load`` raises ``ConfigurationError`` with a line for the user, or whatever the import raises.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    @property
    def remedy(self) -> str:
        """Return what gets rid of a plugin that cannot be used."""
        return remedy(self.distribution, self.version)


def remedy(distribution: str, version: str) -> str:
    """Return what gets rid of a plugin: a file is removed, a distribution uninstalled."""
    return f"{'remove' if version == ONE_FILE else 'uninstall'} {distribution}"


def installed_plugins(points: tuple[EntryPoint, ...] | None = None) -> Iterator[PluginSource]:
    """The plugins among the installed distributions; or those of the given entry points."""
    for point in entry_points(group=ENTRY_POINT_GROUP) if points is None else points:
        yield PluginSource(
            point.name,
            point.dist.name if point.dist is not None else point.module,
            point.dist.version if point.dist is not None else "unknown",
            lambda point=point: _load_installed(point),  # type: ignore[misc]  # a loop's variable
        )


def folder_plugins(folder: Path) -> Iterator[PluginSource]:
    """A plugin for each Python file of a folder, in the order of their names.

    Files whose names begin with an underscore are passed over.

    Raises:
        ConfigurationError: There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"the folder of plugins {folder} does not exist: make it, or leave out --plugins-dir "
            "and RETINUE_PLUGINS_DIR"
        )
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            yield PluginSource(
                path.stem,
                str(path),
                ONE_FILE,
                lambda path=path: _load_file(path),  # type: ignore[misc]  # a loop's variable
            )


def told(error: BaseException, source: PluginSource) -> str:
    """Why a plugin cannot be loaded, in one line, and what to do."""
    who = f"plugin {source.name} of {source.distribution} {source.version}"
    if source.version == ONE_FILE:
        who = f"plugin {source.distribution}"
    where = _place(error, source)
    match error:
        case ConfigurationError():
            return str(error)
        case ModuleNotFoundError(name=str(module)):
            return (
                f"{who} cannot be loaded{where}: the module {module!r} is not installed; install "
                f"it into this environment, or {source.remedy}"
            )
        case SyntaxError():
            what = f"{type(error).__name__}: {error.msg}"  # its text would repeat the place
        case _:
            what = " ".join(format_error(error).split())
    return f"{who} cannot be loaded{where}: {what}; repair it, or {source.remedy}"


def _load_installed(point: EntryPoint) -> Any:
    _check_sdk_version(point)
    return point.load()


def _check_sdk_version(point: EntryPoint) -> None:
    """Refuse a plugin that was written for another SDK.

    Raises:
        ConfigurationError: Its metadata excludes the installed version.
    """
    if point.dist is None:
        return
    versions = [text for text in point.dist.requires or () if _names_sdk_version(text)]
    installed = importlib.metadata.version(SDK)
    if set(versions) <= {f"{SDK}=={installed}"}:
        return
    # Not at the top: the plugins that come with Retinue name the installed version, and it is a
    # megabyte.
    from packaging.requirements import InvalidRequirement, Requirement

    for text in versions:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # the installer's business
        if not requirement.specifier.contains(installed, prereleases=True):
            raise ConfigurationError(
                f"plugin {point.name} of {point.dist.name} {point.dist.version} was written for "
                f"{SDK} {requirement.specifier}, and {installed} is installed: install a version "
                f"of {point.dist.name} for it, or uninstall {point.dist.name}"
            )


def _names_sdk_version(requirement: str) -> bool:
    """Return whether it is about the SDK, and not by its name alone."""
    name = _DISTRIBUTION.match(requirement)
    if name is None or name.end() == len(requirement):
        return False
    return re.sub(r"[-_.]+", "-", name[0]).lower() == SDK  # as PEP 503 compares names


def _load_file(path: Path) -> ModuleType:
    """Import a file; a module without hooks registers the detectors that it defines."""
    name = f"retinue_plugin_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a spawned process and pickle find its classes by this name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if not any(hasattr(member, "retinue_impl") for member in vars(module).values()):
        _register_all(module)
    return module


def _register_all(module: ModuleType) -> None:
    """Give a module the hook that registers its detectors."""
    detectors = [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Detector | AsyncDetector)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]
    if not detectors:
        raise ConfigurationError(
            f"{module.__file__} defines no detector: give it a subclass of "
            "retinue_sdk.Detector or retinue_sdk.AsyncDetector, "
            "or begin its name with an underscore"
        )

    @hookimpl
    def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
        for detector in detectors:
            register(detector)

    vars(module)["retinue_register_detectors"] = retinue_register_detectors


def _place(error: BaseException, source: PluginSource) -> str:
    """Return where in a plugin's own code it went wrong: `` (…/acme/detector.py, line 3)``.

    Of a plugin that is one file, the line alone: the message names the file.
    """
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen")
            and Path(frame.filename).parent not in _LOADERS
        ]
        if not frames:
            return ""
        # The first is the plugin's; the last may be deep in a library that it imports.
        folder = Path(frames[0].filename).parent
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        file, line = own[-1].filename, own[-1].lineno
    return f" (line {line})" if file == source.distribution else f" ({file}, line {line})"


_LOADERS = frozenset(
    Path(str(module.__file__)).parent for module in (importlib, importlib.metadata, pluggy)
) | {Path(__file__).parent}
"""Folders of the code that loads plugins."""
