"""Find plugins in installed distributions and in a folder of files."""

import hashlib
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

from retinue_sdk import AnyDetector, ConfigurationError, hookimpl
from retinue_sdk.detector import DETECTOR_KINDS
from retinue_sdk.errors import format_error

ENTRY_POINT_GROUP = "retinue"
"""The entry point group of plugins."""

ONE_FILE = "one file"
"""The version of single-file plugins."""

SDK = "retinue-sdk"
"""The distribution whose version plugins are compatible with."""

_DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that can be loaded.

    Attributes:
        name: The entry point's name, or the file's name without suffix.
        distribution: The distribution that installed it, such as ``retinue-onnx``; for a file, its
            path.
        version: The distribution's version; ``ONE_FILE`` for a file.
        load: Imports it.

    ``load`` raises ``ConfigurationError`` with a line for the user, or the import's exception.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    @property
    def identity(self) -> str:
        """Return its name and version, for fingerprints. The version of a file is its hash."""
        if self.version != ONE_FILE:
            return f"{self.distribution} {self.version}"
        file = Path(self.distribution)
        return f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"

    @property
    def remedy(self) -> str:
        """Return an instruction for removing this plugin if it is unusable."""
        return remedy(self.distribution, self.version)


def remedy(distribution: str, version: str) -> str:
    """Return an instruction: remove the plugin's file, or uninstall its distribution."""
    return f"{'remove' if version == ONE_FILE else 'uninstall'} {distribution}"


def installed_plugins(points: tuple[EntryPoint, ...] | None = None) -> Iterator[PluginSource]:
    """Yield the plugins of the installed distributions, or of the given entry points."""
    for point in entry_points(group=ENTRY_POINT_GROUP) if points is None else points:
        yield PluginSource(
            point.name,
            point.dist.name if point.dist is not None else point.module,
            point.dist.version if point.dist is not None else "unknown",
            lambda point=point: _load_installed(point),  # type: ignore[misc]  # a loop's variable
        )


def folder_plugins(folder: Path) -> Iterator[PluginSource]:
    """Yield a plugin for each Python file of a folder, ordered by name.

    Files whose names begin with an underscore are skipped.

    Raises:
        ConfigurationError: The folder doesn't exist.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"the folder of plugins {folder} does not exist: create it, or omit --plugins-dir "
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


def loading_problem(error: BaseException, source: PluginSource) -> str:
    """Return one line with the reason why a plugin can't be loaded, and the remedy."""
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
            what = f"{type(error).__name__}: {error.msg}"  # its text would repeat the location
        case _:
            what = " ".join(format_error(error).split())
    return f"{who} cannot be loaded{where}: {what}; repair it, or {source.remedy}"


def _load_installed(point: EntryPoint) -> Any:
    _check_sdk_version(point)
    try:
        return point.load()
    except ModuleNotFoundError as error:
        if error.name is None or not f"{point.module}.".startswith(f"{error.name}."):
            raise
        package = point.module if point.dist is None else point.dist.name
        raise ConfigurationError(
            f"plugin {point.name} of {package} cannot be loaded: there is no module "
            f"{error.name!r}, which its entry point names; correct the entry point in its "
            f"pyproject.toml and install it again, or uninstall {package}"
        ) from error


def _check_sdk_version(point: EntryPoint) -> None:
    """Check that a plugin accepts the installed version of the SDK.

    Raises:
        ConfigurationError: Its metadata excludes the installed version.
    """
    if point.dist is None:
        return
    versions = [text for text in point.dist.requires or () if _names_sdk_version(text)]
    installed = importlib.metadata.version(SDK)
    if set(versions) <= {f"{SDK}=={installed}"}:
        return
    # Not at the top: plugins that come with Retinue accept exactly the installed version, and the
    # import takes a megabyte.
    from packaging.requirements import InvalidRequirement, Requirement

    for text in versions:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # left to the installer
        if not requirement.specifier.contains(installed, prereleases=True):
            raise ConfigurationError(
                f"plugin {point.name} of {point.dist.name} {point.dist.version} was written for "
                f"{SDK} {requirement.specifier}, and {installed} is installed: install a version "
                f"of {point.dist.name} for it, or uninstall {point.dist.name}"
            )


def _names_sdk_version(requirement: str) -> bool:
    """Return whether a requirement names the SDK with a version."""
    name = _DISTRIBUTION.match(requirement)
    if name is None or name.end() == len(requirement):
        return False
    return re.sub(r"[-_.]+", "-", name[0]).lower() == SDK  # names compare as in PEP 503


def _load_file(path: Path) -> ModuleType:
    """Import a file. If it has no hooks, register the detectors that it defines."""
    name = f"retinue_plugin_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} isn't a Python file")
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
    """Add the hook that registers a module's detectors."""
    classes = [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, DETECTOR_KINDS)
        and member.__module__ == module.__name__
    ]
    detectors = [each for each in classes if not inspect.isabstract(each)]
    if classes and not detectors:
        lacks = ", ".join(sorted(getattr(classes[-1], "__abstractmethods__", ())))
        raise ConfigurationError(
            f"{module.__file__}: the detector {classes[-1].__name__} lacks {lacks}"
        )
    if not detectors:
        raise ConfigurationError(
            f"{module.__file__} defines no detector: give it a subclass of "
            "retinue_sdk.Detector, retinue_sdk.AsyncDetector or retinue_sdk.JobDetector, "
            "or begin its name with an underscore"
        )

    @hookimpl
    def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
        for detector in detectors:
            register(detector)

    vars(module)["retinue_register_detectors"] = retinue_register_detectors


def _place(error: BaseException, source: PluginSource) -> str:
    """Return the location of an error in a plugin's code: `` (…/acme/detector.py, line 3)``.

    For a single-file plugin, return only the line, because the message names the file.
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
        # The first frame is the plugin's. The last may be deep in a library that it imports.
        folder = Path(frames[0].filename).parent
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        file, line = own[-1].filename, own[-1].lineno
    return f" (line {line})" if file == source.distribution else f" ({file}, line {line})"


_LOADERS = frozenset(
    Path(str(module.__file__)).parent for module in (importlib, importlib.metadata, pluggy)
) | {Path(__file__).parent}
"""Folders of the code that loads plugins."""
