"""Load plugins, and create the detectors that the settings name."""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import FrameType

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
    loading_problem,
    remedy,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """A detector class and the plugin it comes from.

    Attributes:
        detector: The class.
        plugin: The plugin's entry point name.
        distribution: The distribution that installed it, such as ``retinue-onnx``. For a
            single-file plugin, the path of the file.
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
        source: The plugin's identity, such as ``acme-privacy 1.0``.
        apply: The hook; takes its arguments by name.
    """

    source: str
    apply: Callable[..., object]


class Plugins:
    """The loaded plugins and the detectors that they register.

    An unusable plugin affects only its users. ``problems`` has the reason, and ``make`` raises only
    if a requested detector may belong to it.

    Args:
        points: Entry points to load; the installed ones of the group ``retinue`` by default.
        folder: A folder of single-file plugins.

    Attributes:
        registrations: The detectors by name.
        problems: One line for each unusable plugin: its name, the reason and the remedy.
        contested: Names that two plugins registered, each with the remedy.

    Raises:
        ConfigurationError: The folder doesn't exist.
    """

    def __init__(
        self, points: tuple[EntryPoint, ...] | None = None, *, folder: Path | None = None
    ) -> None:
        self._manager = pluggy.PluginManager("retinue")
        self._manager.add_hookspecs(hookspecs)
        self.registrations: dict[str, Registration] = {}
        self._sources: dict[str, str] = {}
        self._idle: set[str] = set()
        self._used: set[str] = set()
        self.problems: list[str] = []
        self._unusable: dict[str, str] = {}
        self.contested: dict[str, str] = {}
        with _ctrl_c_is_the_users():
            for source in installed_plugins(points):
                self._load(source)
            for source in () if folder is None else folder_plugins(folder):
                self._load(source)

    def make(self, wanted: Mapping[str, Mapping[str, JsonValue]]) -> list[AnyDetector]:
        """Create the detectors that ``wanted`` names, with their options.

        Raises:
            ConfigurationError: ``wanted`` is empty, a name is unknown or registered twice, or an
                option is invalid. The message names the detector, the field and the allowed values.
        """
        if not wanted:
            raise ConfigurationError(
                "RETINUE_DETECTORS names no detector. Choose from these, separated by commas: "
                f"{self._names()}"
            )
        with _ctrl_c_is_the_users():
            made = [self._make(name, options) for name, options in wanted.items()]
        for problem in [*self.problems, *self.contested.values()]:
            log.warning("plugin_skipped", problem=problem)
        return made

    def find(self, name: str) -> Registration:
        """Return the detector with a name.

        Raises:
            ConfigurationError: No plugin has it, or two plugins have it. The message lists the
                known detectors.
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
        """Return whether any plugin observes finished runs."""
        return bool(self._observers())

    def notify(self, run: Run) -> None:
        """Call every observer of a finished run.

        An observer that raises doesn't stop the others.
        """
        for implementation in self._observers():
            try:
                _call(implementation, run=run)
            except BaseException:  # even SystemExit must not stop the other observers
                log.exception("observer_failed", plugin=implementation.plugin_name)

    def _observers(self) -> list[pluggy.HookImpl]:
        implementations = self._manager.hook.retinue_run_finished.get_hookimpls()
        return [found for found in implementations if found.plugin_name not in self._idle]

    def filters(self) -> list[Filter]:
        """Return the filters of all plugins, ordered by plugin name."""
        implementations = self._manager.hook.retinue_filter_detections.get_hookimpls()
        return [
            Filter(self._sources[found.plugin_name], partial(_call, found))
            for found in sorted(implementations, key=lambda found: found.plugin_name)
        ]

    def starting(self, options: Mapping[str, Mapping[str, JsonValue]]) -> None:
        """Call ``retinue_worker_starting`` of each plugin with its own options.

        A plugin that fails is skipped, unless the worker needs it: ``options`` names it, one of its
        detectors was created, or it filters detections.

        Raises:
            ConfigurationError: A plugin raised it, a plugin that the worker needs failed, or
                ``options`` names an unknown plugin. The message names the plugin.
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
            except BaseException as error:  # a panic of native code isn't an Exception
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
        """Call ``retinue_worker_stopping`` of each plugin. Abandon those that take too long."""
        takers = self._manager.hook.retinue_worker_stopping.get_hookimpls()
        if not takers:
            return
        thread = threading.Thread(
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
            except BaseException:  # even SystemExit must not stop the other plugins
                log.exception("plugin_stop_failed", plugin=taker.plugin_name)

    def _make(self, name: str, options: Mapping[str, JsonValue]) -> AnyDetector:
        """Create one detector with validated options."""
        registration = self.find(name)
        model = registration.detector.options_model
        try:
            chosen = model.model_validate(dict(options))
        except ValidationError as error:
            problems = "; ".join(
                _problem(problem["type"], problem["loc"], problem["msg"], model.model_fields)
                for problem in error.errors(include_url=False, include_input=False)
            )
            raise ConfigurationError(f"detector {name}: {problems}") from error
        except BaseException as error:  # the options' own validators can raise anything, too
            raise _not_made(registration, error) from error
        try:
            detector = registration.detector(chosen)
        except RetinueError as error:
            raise ConfigurationError(f"detector {name}: {error}") from error
        except BaseException as error:  # a plugin's constructor can raise anything
            raise _not_made(registration, error) from error
        if not hasattr(detector, "options"):
            forgotten = "its constructor must call super().__init__(options)"
            raise _not_made(registration, TypeError(forgotten))
        self._used.add(registration.plugin)
        return detector

    def _names(self) -> str:
        return ", ".join(sorted(self.registrations)) or "none (install a plugin)"

    def _load(self, source: PluginSource) -> None:
        """Import a plugin and let it register its detectors, or record why it is unusable."""
        offered: list[type[AnyDetector]] = []
        module = None
        try:
            self._check_name(source)
            module = source.load()
            self._manager.register(module, name=source.name)
            self._manager.check_pending()
            self._check_hooks(module)
            others = [other for other in self._manager.get_plugins() if other is not module]
            caller = self._manager.subset_hook_caller("retinue_register_detectors", others)
            caller(register=lambda candidate: offered.append(detector_class(candidate)))
        except BaseException as error:  # noqa: BLE001 - a plugin can raise anything
            problem = loading_problem(error, source)
            self.problems.append(problem)
            # A detector usually shares its name with its plugin or distribution.
            self._unusable |= dict.fromkeys((source.name, source.distribution), problem)
            if module is not None and self._manager.get_plugin(source.name) is module:
                self._manager.unregister(module)
            return
        self._sources[source.name] = source.identity
        for detector in offered:
            self._keep(detector, source)

    def _check_name(self, source: PluginSource) -> None:
        if self._manager.has_plugin(source.name):
            raise ConfigurationError(
                f"two plugins are named {source.name}; one is from {source.distribution}: "
                f"{source.remedy}, or the other one"
            )

    def _check_hooks(self, module: object) -> None:
        """Refuse a plugin whose hooks would never be called."""
        unmarked = [
            name
            for name in vars(hookspecs)
            if name.startswith("retinue_")
            and callable(hook := getattr(module, name, None))
            and not hasattr(hook, "retinue_impl")
        ]
        if unmarked:
            raise TypeError(f"{unmarked[0]} isn't marked with @hookimpl of retinue_sdk")
        if not self._manager.get_hookcallers(module):
            raise TypeError(
                "it has no hook; its entry point must name a module with functions marked with "
                "@hookimpl of retinue_sdk, such as retinue_register_detectors"
            )

    def _keep(self, detector: type[AnyDetector], source: PluginSource) -> None:
        """Register a detector, or record that its name is taken."""
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


@contextmanager
def plugin_errors(detector: AnyDetector) -> Iterator[None]:
    """Turn what a detector's own code raises inside the block into a refusal that names it.

    Raises:
        ConfigurationError: The code raised something.
    """
    try:
        yield
    except RetinueError as error:
        raise ConfigurationError(f"detector {detector.name}: {error}") from error
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"detector {detector.name}: {format_error(error)}{format_plugin_frames(error)}"
        ) from error


def _not_made(registration: Registration, error: BaseException) -> ConfigurationError:
    return ConfigurationError(
        f"detector {registration.detector.name} of {registration.distribution} "
        f"{registration.distribution_version} cannot be made: {format_error(error)}"
        f"{format_plugin_frames(error)}"
    )


@contextmanager
def _ctrl_c_is_the_users() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at the end if Ctrl-C was pressed inside the block.

    Ctrl-C raises in the plugin's code, where it looks like one more thing that a plugin can raise.
    A program with a signal handler of its own, such as a worker's, handles Ctrl-C by itself.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    received = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if received:
            raise KeyboardInterrupt


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for a misspelled name, or an empty text if none is close."""
    from difflib import get_close_matches  # not needed by a worker that starts

    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _problem(kind: str, place: tuple[int | str, ...], said: str, known: Collection[str]) -> str:
    """Return the fault of an option. For an unknown one, also return those that exist."""
    option = ".".join(map(str, place)) or "(all)"
    if kind == "extra_forbidden" and len(place) == 1:
        allowed = f"its options: {', '.join(known)}" if known else "it has none"
        return f"unknown option {option}{did_you_mean(option, known)} ({allowed})"
    return f"option {option}: {said}"


def _call(implementation: pluggy.HookImpl, **arguments: object) -> object:
    """Call a plugin's hook with the arguments that it accepts."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))
