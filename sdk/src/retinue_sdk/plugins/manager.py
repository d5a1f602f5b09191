"""Finding plugins, and making the detectors that the settings name."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Thread

import pluggy
import structlog
from pydantic import JsonValue, ValidationError

from retinue_sdk import AnyDetector, ConfigurationError, RetinueError, Run, hookspecs
from retinue_sdk.detector import detector_class
from retinue_sdk.errors import format_error, format_plugin_frames
from retinue_sdk.plugins.sources import (
    PluginSource,
    folder_plugins,
    installed_plugins,
    remedy,
    told,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """A detector class and the plugin it comes from.

    Attributes:
        detector: The class.
        plugin: The plugin's entry point name.
        distribution: The distribution that installed it, such as ``retinue-onnx``; the path of a
            plugin that is one file.
        distribution_version: That distribution's version.
    """

    detector: type[AnyDetector]
    plugin: str
    distribution: str
    distribution_version: str


@dataclass(frozen=True, slots=True)
class Filter:
    """A plugin's ``retinue_filter_detections``.

    Attributes:
        source: The distribution with its version, such as ``acme-privacy 1.0``.
        apply: The hook; takes its arguments by name.
    """

    source: str
    apply: Callable[..., object]


class Plugins:
    """The plugins that there are, and the detectors they register.

    A plugin that cannot be used stops nobody who does not use it: ``problems`` tells why, and
    ``make`` refuses only when a detector is wanted that it might have had.

    Args:
        points: Entry points to load; the installed ones of the group ``retinue`` by default.
        folder: A folder of plugins that are one file each.

    Attributes:
        registrations: The detectors by name.
        problems: For each plugin that cannot be used, one line: which, why, and the remedy.
        contested: Names that two plugins registered, with what to do about each.

    Raises:
        ConfigurationError: The folder does not exist.
    """

    def __init__(
        self, points: tuple[EntryPoint, ...] | None = None, *, folder: Path | None = None
    ) -> None:
        """Load every plugin; no detector is made."""
        self._manager = pluggy.PluginManager("retinue")
        self._manager.add_hookspecs(hookspecs)
        self.registrations: dict[str, Registration] = {}
        self._sources: dict[str, str] = {}
        self._idle: set[str] = set()
        self._used: set[str] = set()
        self.problems: list[str] = []
        self._unusable: dict[str, str] = {}
        self.contested: dict[str, str] = {}
        for source in installed_plugins(points):
            self._load(source)
        for source in () if folder is None else folder_plugins(folder):
            self._load(source)

    def make(self, wanted: Mapping[str, Mapping[str, JsonValue]]) -> list[AnyDetector]:
        """Make the detectors that ``wanted`` names, with their options.

        Raises:
            ConfigurationError: None is wanted, a name is unknown or contested, or an option is bad;
                names the detector, the field and the allowed values.
        """
        if not wanted:
            raise ConfigurationError(
                "RETINUE_DETECTORS names no detector; write names, joined by commas, out of: "
                f"{self._names()}"
            )
        made = [self._make(name, options) for name, options in wanted.items()]
        for problem in [*self.problems, *self.contested.values()]:
            log.warning("plugin_skipped", problem=problem)
        return made

    def find(self, name: str) -> Registration:
        """The detector of a name.

        Raises:
            ConfigurationError: There is none, or two plugins have one; says what there is.
        """
        if name in self.contested:
            raise ConfigurationError(self.contested[name])
        if name in self.registrations:
            return self.registrations[name]
        if name in self._unusable:
            raise ConfigurationError(self._unusable[name])
        meant = did_you_mean(name, self.registrations)
        unknown = f"no installed plugin has a detector named {name!r}{meant}"
        raise ConfigurationError(
            "\n".join([f"{unknown}; there are: {self._names()}", *self.problems])
        )

    @property
    def observed(self) -> bool:
        """Return whether anybody wants to be told of finished runs."""
        return bool(self._observers())

    def notify(self, run: Run) -> None:
        """Tell every observer of a finished run; one that raises does not silence the others."""
        for implementation in self._observers():
            try:
                _call(implementation, run=run)
            except BaseException:  # even SystemExit must not silence the others
                log.exception("observer_failed", plugin=implementation.plugin_name)

    def _observers(self) -> list[pluggy.HookImpl]:
        implementations = self._manager.hook.retinue_run_finished.get_hookimpls()
        return [found for found in implementations if found.plugin_name not in self._idle]

    def filters(self) -> list[Filter]:
        """The plugins that filter detections, by name."""
        implementations = self._manager.hook.retinue_filter_detections.get_hookimpls()
        return [
            Filter(self._sources[found.plugin_name], partial(_call, found))
            for found in sorted(implementations, key=lambda found: found.plugin_name)
        ]

    def starting(self, options: Mapping[str, Mapping[str, JsonValue]]) -> None:
        """Tell plugins that the worker starts, each with its own options.

        A plugin that fails is left out of this worker, unless the worker wants it: ``options``
        names it, it has a detector that was made, or it filters detections.

        Raises:
            ConfigurationError: One refuses, or one that is wanted fails, or ``options`` names none;
                says which.
        """
        unknown = sorted(set(options) - set(self._sources))
        if unknown:
            raise ConfigurationError(
                f"RETINUE_PLUGIN_OPTIONS: there is no plugin {', '.join(unknown)}; there are: "
                f"{', '.join(sorted(self._sources)) or 'none'}"
            )
        takers = self._manager.hook.retinue_worker_starting.get_hookimpls()
        deaf = sorted(set(options) - {taker.plugin_name for taker in takers})
        if deaf:
            raise ConfigurationError(
                f"RETINUE_PLUGIN_OPTIONS: the plugin {', '.join(deaf)} takes no options of its "
                "own; set those of detectors in RETINUE_DETECTORS"
            )
        for taker in takers:
            plugin = taker.plugin_name
            try:
                if _call(taker, options=options.get(plugin)) is False:
                    self._idle.add(plugin)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"RETINUE_PLUGIN_OPTIONS: plugin {plugin}: {error}"
                ) from error
            except BaseException as error:  # a panic of native code is no Exception
                problem = f"plugin {plugin} cannot start: {format_error(error)}"
                if plugin in options or plugin in self._used or self._filters(plugin):
                    raise ConfigurationError(f"RETINUE_PLUGIN_OPTIONS: {problem}") from error
                self._idle.add(plugin)
                self.problems.append(problem)
                log.warning("plugin_skipped", problem=problem)

    def _filters(self, plugin: str) -> bool:
        implementations = self._manager.hook.retinue_filter_detections.get_hookimpls()
        return any(found.plugin_name == plugin for found in implementations)

    def stopping(self, timeout_seconds: float) -> None:
        """Tell plugins that the worker stops; those that take longer are left behind."""
        takers = self._manager.hook.retinue_worker_stopping.get_hookimpls()
        if not takers:
            return
        thread = Thread(
            target=self._stopping, args=[takers, timeout_seconds], name="plugins", daemon=True
        )
        thread.start()
        thread.join(timeout_seconds)
        if thread.is_alive():
            log.error("plugin_stop_timed_out", timeout_seconds=timeout_seconds)

    def _stopping(self, takers: Sequence[pluggy.HookImpl], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        for taker in takers:
            try:
                _call(taker, timeout_seconds=max(0.0, deadline - time.monotonic()))
            except BaseException:  # even SystemExit must not silence the others
                log.exception("plugin_stop_failed", plugin=taker.plugin_name)

    def _make(self, name: str, options: Mapping[str, JsonValue]) -> AnyDetector:
        """One detector with validated options."""
        registration = self.find(name)
        model = registration.detector.options_model
        try:
            chosen = model.model_validate(dict(options))
        except ValidationError as error:
            problems = "; ".join(
                f"option {'.'.join(map(str, problem['loc'])) or '(all)'}: {problem['msg']}"
                f"{_meant(problem['type'], problem['loc'], model.model_fields)}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            allowed = ", ".join(model.model_fields) or "none"
            raise ConfigurationError(
                f"detector {name}: {problems} (its options: {allowed})"
            ) from error
        except BaseException as error:  # so can the options' own validators
            raise _not_made(registration, error) from error
        try:
            detector = registration.detector(chosen)
        except RetinueError as error:
            raise ConfigurationError(f"detector {name}: {error}") from error
        except BaseException as error:  # a plugin's constructor can raise anything
            raise _not_made(registration, error) from error
        self._used.add(registration.plugin)
        return detector

    def _names(self) -> str:
        return ", ".join(sorted(self.registrations)) or "none (install a plugin)"

    def _load(self, source: PluginSource) -> None:
        """Import one plugin and let it register its detectors; or note why it cannot be used."""
        offered: list[type[AnyDetector]] = []
        module = None
        try:
            self._check_name(source)
            module = source.load()
            self._manager.register(module, name=source.name)
            self._manager.check_pending()
            others = [other for other in self._manager.get_plugins() if other is not module]
            caller = self._manager.subset_hook_caller("retinue_register_detectors", others)
            caller(register=lambda candidate: offered.append(detector_class(candidate)))
        except BaseException as error:  # noqa: BLE001 - a plugin can raise anything
            problem = told(error, source)
            self.problems.append(problem)
            # A detector is mostly named as its plugin, or as what installs it.
            self._unusable |= dict.fromkeys((source.name, source.distribution), problem)
            if module is not None and self._manager.get_plugin(source.name) is module:
                self._manager.unregister(module)
            return
        self._sources[source.name] = f"{source.distribution} {source.version}"
        for detector in offered:
            self._keep(detector, source)

    def _check_name(self, source: PluginSource) -> None:
        if self._manager.has_plugin(source.name):
            raise ConfigurationError(
                f"two plugins are named {source.name}, and one is of {source.distribution}: "
                f"{source.remedy}, or the other one"
            )

    def _keep(self, detector: type[AnyDetector], source: PluginSource) -> None:
        """Register a detector, or note that its name is taken."""
        name = detector.name
        other = self.registrations.pop(name, None)
        if other is not None:
            self.contested[name] = (
                f"detector {name!r} is registered by {other.distribution} and by "
                f"{source.distribution}: {source.remedy}, or "
                f"{remedy(other.distribution, other.distribution_version)}"
            )
        if name not in self.contested:
            self.registrations[name] = Registration(
                detector, source.name, source.distribution, source.version
            )


def _not_made(registration: Registration, error: BaseException) -> ConfigurationError:
    return ConfigurationError(
        f"detector {registration.detector.name} of {registration.distribution} "
        f"{registration.distribution_version} cannot be made: {format_error(error)}"
        f"{format_plugin_frames(error)}"
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for a typing error; nothing if no known word is close."""
    from difflib import get_close_matches  # a worker that starts has no use for it

    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _meant(kind: str, place: tuple[int | str, ...], known: Iterable[str]) -> str:
    """The option that an unknown one may have been meant to be."""
    unknown = kind == "extra_forbidden" and len(place) == 1
    return did_you_mean(str(place[0]), known) if unknown else ""


def _call(implementation: pluggy.HookImpl, **arguments: object) -> object:
    """Call one plugin's hook with those arguments that it takes."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))
