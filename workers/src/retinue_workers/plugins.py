"""Finding plugins, and making the detectors that the settings name."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from threading import Thread

import pluggy
import structlog
from pydantic import JsonValue, ValidationError
from retinue_sdk import AnyDetector, ConfigurationError, RetinueError, Run, hookspecs
from retinue_sdk.detector import detector_class

from retinue_workers.verdict import describe

ENTRY_POINT_GROUP = "retinue"
"""The entry point group by which a distribution says that it is a plugin."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """A detector class and the plugin it comes from.

    Attributes:
        detector: The class.
        plugin: The plugin's entry point name.
        distribution: The distribution that installed it, such as ``retinue-onnx``.
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
    """The installed plugins and the detectors they register.

    Args:
        points: Entry points to load; the installed ones of the group ``retinue`` by default.

    Raises:
        ConfigurationError: A plugin cannot be imported, a hook raises, a hook is unknown, or two
            plugins register one name. Says which plugin, and the remedy.
    """

    def __init__(self, points: "tuple[EntryPoint, ...] | None" = None) -> None:
        """Load every plugin; no detector is made."""
        self._manager = pluggy.PluginManager("retinue")
        self._manager.add_hookspecs(hookspecs)
        self.registrations: dict[str, Registration] = {}
        self._sources: dict[str, str] = {}
        for point in entry_points(group=ENTRY_POINT_GROUP) if points is None else points:
            self._load(point)

    def make(self, wanted: Mapping[str, Mapping[str, JsonValue]]) -> list[AnyDetector]:
        """Make the detectors that ``wanted`` names, with their options.

        Raises:
            ConfigurationError: None is wanted, a name is unknown, or an option is bad; names the
                detector, the field and the allowed values.
        """
        if not wanted:
            raise ConfigurationError(
                'RETINUE_DETECTORS names no detector; give JSON such as {"NAME": {}}, with NAME '
                f"one of: {self._names()}"
            )
        return [self._make(name, options) for name, options in wanted.items()]

    def notify(self, run: Run) -> None:
        """Tell every observer of a finished run; one that raises does not silence the others."""
        for implementation in self._manager.hook.retinue_run_finished.get_hookimpls():
            try:
                _call(implementation, run=run)
            except BaseException:  # even SystemExit must not silence the others
                log.exception("observer_failed", plugin=implementation.plugin_name)

    def filters(self) -> list[Filter]:
        """The plugins that filter detections, by name."""
        implementations = self._manager.hook.retinue_filter_detections.get_hookimpls()
        return [
            Filter(self._sources[found.plugin_name], partial(_call, found))
            for found in sorted(implementations, key=lambda found: found.plugin_name)
        ]

    def starting(self, options: Mapping[str, Mapping[str, JsonValue]]) -> None:
        """Tell plugins that the worker starts, each with its own options.

        Raises:
            ConfigurationError: One refuses, or ``options`` names none; says which.
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
                "own; those of detectors belong into RETINUE_DETECTORS"
            )
        for taker in takers:
            try:
                _call(taker, options=options.get(taker.plugin_name))
            except (Exception, SystemExit) as error:
                text = str(error) if isinstance(error, RetinueError) else describe(error)
                raise ConfigurationError(
                    f"RETINUE_PLUGIN_OPTIONS: plugin {taker.plugin_name}: {text}"
                ) from error

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
            log.error("plugins_left_behind", timeout_seconds=timeout_seconds)

    def _stopping(self, takers: Sequence[pluggy.HookImpl], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        for taker in takers:
            try:
                _call(taker, timeout_seconds=max(0.0, deadline - time.monotonic()))
            except BaseException:  # even SystemExit must not silence the others
                log.exception("plugin_stop_failed", plugin=taker.plugin_name)

    def _make(self, name: str, options: Mapping[str, JsonValue]) -> AnyDetector:
        """One detector with validated options."""
        registration = self.registrations.get(name)
        if registration is None:
            raise ConfigurationError(
                f"no installed plugin has a detector named {name!r}; there are: {self._names()}"
            )
        try:
            chosen = registration.detector.options_model.model_validate(dict(options))
        except ValidationError as error:
            problems = "; ".join(
                f"option {'.'.join(map(str, problem['loc'])) or '(all)'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            allowed = ", ".join(registration.detector.options_model.model_fields) or "none"
            raise ConfigurationError(
                f"detector {name}: {problems} (its options: {allowed})"
            ) from error
        try:
            return registration.detector(chosen)
        except RetinueError as error:
            raise ConfigurationError(f"detector {name}: {error}") from error
        except (Exception, SystemExit) as error:  # a plugin's constructor can raise anything
            raise ConfigurationError(
                f"detector {name} of {registration.distribution} "
                f"{registration.distribution_version} cannot be made: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _names(self) -> str:
        return ", ".join(sorted(self.registrations)) or "none (install a plugin)"

    def _load(self, point: EntryPoint) -> None:
        """Import one plugin and let it register its detectors."""
        distribution = point.dist.name if point.dist is not None else point.module
        version = point.dist.version if point.dist is not None else "unknown"

        def register(candidate: type[AnyDetector]) -> None:
            detector = detector_class(candidate)
            other = self.registrations.get(detector.name)
            if other is not None:
                raise ConfigurationError(
                    f"detector {detector.name!r} is registered by {other.distribution} and by "
                    f"{distribution}: uninstall one of them"
                )
            self.registrations[detector.name] = Registration(
                detector, point.name, distribution, version
            )

        self._sources[point.name] = f"{distribution} {version}"
        try:
            module = point.load()
            self._manager.register(module, name=point.name)
            self._manager.check_pending()
            caller = self._manager.subset_hook_caller(
                "retinue_register_detectors",
                [other for other in self._manager.get_plugins() if other is not module],
            )
            caller(register=register)
        except ConfigurationError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's import or hook can raise anything
            raise ConfigurationError(
                f"plugin {point.name} of {distribution} {version} cannot be loaded: "
                f"{type(error).__name__}: {error}; repair it, or uninstall {distribution}"
            ) from error


def _call(implementation: pluggy.HookImpl, **arguments: object) -> object:
    """Call one plugin's hook with those arguments that it takes."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))
