"""Plugins are other people's: each mistake is refused with a name, none takes the others down."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from fakes import work
from fakes.plugin import NOT_EXCEPTIONS, Bytes, Pixels
from fakes.rig import POINTS
from pydantic import BaseModel, Field
from retinue_history import RunRecord
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    Detection,
    Detector,
    DetectorOptions,
    ImageReference,
    Input,
    Run,
    hookimpl,
)
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.recording.observers import as_run

OptionsT = TypeVar("OptionsT", bound=DetectorOptions)
OtherT = TypeVar("OtherT")

Install = Callable[..., EntryPoint]


@pytest.fixture
def install() -> Iterator[Install]:
    """Makes a plugin out of functions."""
    made: list[str] = []

    def make(name: str, **functions: Any) -> EntryPoint:
        module = ModuleType(f"fake_plugin_{name}")
        for member, function in functions.items():
            setattr(module, member, function)
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        return EntryPoint(name, module.__name__, "retinue")

    yield make
    for name in made:
        del sys.modules[name]


def registering(*detectors: Any) -> dict[str, Any]:
    @hookimpl
    def retinue_register_detectors(register: Callable[[Any], None]) -> None:
        for detector in detectors:
            register(detector)

    return {"retinue_register_detectors": retinue_register_detectors}


def refusal(*points: EntryPoint, wanted: str = "wanted") -> str:
    """Return the error of a worker that needs a detector of these plugins."""
    with pytest.raises(ConfigurationError) as caught:
        Plugins(points).make({wanted: {}})
    return str(caught.value)


def test_the_installed_plugins_are_found() -> None:
    plugins = Plugins(POINTS)
    assert {"echo", "hostile-raises", "pixels"} <= set(plugins.registrations)
    echo = plugins.registrations["echo"]
    assert (echo.plugin, echo.detector.__name__) == ("hostile", "Echo")


def test_registering_makes_no_detector(install: Install) -> None:
    class Explodes(Pixels):
        name: ClassVar[str] = "explodes"

        def __init__(self, options: Any) -> None:
            raise AssertionError("made too early")

    Plugins((install("a", **registering(Explodes)),))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("boom"), ImportError("boom"), SyntaxError("boom"), *NOT_EXCEPTIONS.values()],
)
def test_a_plugin_that_cannot_be_imported_is_named(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: EntryPoint) -> Any:
        raise error

    monkeypatch.setattr(EntryPoint, "load", load)
    text = refusal(EntryPoint("broken", "broken_module", "retinue"))
    assert "plugin broken of broken_module" in text
    assert type(error).__name__ in text
    assert "uninstall broken_module" in text


@pytest.mark.parametrize("module", ["no_such_module", "retinue_sdk.no_such_module"])
def test_a_plugin_whose_module_is_gone_is_named(module: str) -> None:
    text = refusal(EntryPoint("gone", module, "retinue"))
    assert f"there is no module {module!r}, which its entry point names; correct" in text


def test_a_plugin_without_a_hook_is_refused(install: Install) -> None:
    """Its author named the wrong module, and would search the mistake elsewhere."""
    text = refusal(install("idle", Pixels=Pixels))
    assert "plugin idle of fake_plugin_idle" in text
    assert "it has no hook; its entry point must name a module with functions marked" in text


def test_a_hook_that_is_not_marked_is_refused(install: Install) -> None:
    """Else a filter would not run."""

    def retinue_filter_detections(detections: Any) -> Any:
        return ()

    hooks = registering(Pixels) | {"retinue_filter_detections": retinue_filter_detections}
    text = refusal(install("a", **hooks))
    assert "retinue_filter_detections isn't marked with @hookimpl of retinue_sdk; repair it" in text


@pytest.mark.parametrize("error", [RuntimeError("boom"), *NOT_EXCEPTIONS.values()])
def test_a_hook_that_raises_is_named(install: Install, error: BaseException) -> None:
    @hookimpl
    def retinue_register_detectors(register: Any) -> None:
        raise error

    point = install("a", retinue_register_detectors=retinue_register_detectors)
    text = refusal(point)
    assert "plugin a of fake_plugin_a" in text
    assert type(error).__name__ in text
    [detector] = Plugins((point, *POINTS)).make({"pixels": {}})
    assert isinstance(detector, Pixels)


def test_an_unknown_hook_is_a_typing_error(install: Install) -> None:
    @hookimpl
    def retinue_register_detector(register: Any) -> None:
        """Without the s."""

    text = refusal(install("a", retinue_register_detector=retinue_register_detector))
    assert "plugin a" in text
    assert "unknown hook 'retinue_register_detector'" in text


def test_a_hook_with_unknown_arguments_is_refused(install: Install) -> None:
    @hookimpl
    def retinue_run_finished(run: Any, mood: Any) -> None:
        """There is no mood."""

    text = refusal(install("a", retinue_run_finished=retinue_run_finished))
    assert "mood" in text


def test_duplicate_names_are_refused_naming_both(install: Install) -> None:
    class Other(Pixels):
        name: ClassVar[str] = "bytes"

    first = install("a", **registering(Bytes))
    second = install("b", **registering(Other))
    text = refusal(first, second, wanted="bytes")
    assert "'bytes' is registered by fake_plugin_a and by fake_plugin_b" in text
    assert "uninstall fake_plugin_b, or uninstall fake_plugin_a" in text


class Nameless(Detector[DetectorOptions]):
    capabilities = Capabilities(Input.BYTES)

    def detect(self, images: Any) -> Any:
        return []


class Unfinished(Detector[DetectorOptions]):
    name: ClassVar[str] = "unfinished"
    version: ClassVar[str] = "1"


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (Nameless, "needs a name and a version"),
        (Unfinished, "does not define capabilities, detect"),
        (Bytes(DetectorOptions()), "only subclasses of Detector, AsyncDetector or JobDetector"),
        (str, "only subclasses of Detector, AsyncDetector or JobDetector"),
        (None, "only subclasses of Detector, AsyncDetector or JobDetector"),
    ],
)
def test_only_complete_detectors_can_be_registered(
    install: Install, candidate: Any, reason: str
) -> None:
    text = refusal(install("a", **registering(candidate)))
    assert "plugin a" in text
    assert reason in text


@pytest.mark.parametrize("options", [Detection, BaseModel])
def test_options_that_would_be_ignored_are_refused(options: Any) -> None:
    wrong = f"must be a subclass of retinue_sdk.DetectorOptions, not {options.__name__}"
    with pytest.raises(TypeError, match=wrong):

        class Wrong(Detector[options]):  # type: ignore[valid-type]
            """Has options of another kind."""


def test_a_base_class_may_have_other_parameters() -> None:
    class Base(Detector[OptionsT], Generic[OptionsT, OtherT]):
        """Shared by detectors."""

    class Derived(Base[StrictOptions, int]):
        """Has options."""

    assert Derived.options_model is StrictOptions


# Making detectors.


class Picky(BaseModel):
    level: int = Field(ge=1, le=3)


class StrictOptions(DetectorOptions):
    threshold: float = Field(default=0.5, ge=0, le=1)
    nested: Picky = Picky(level=1)


class Strict(Detector[StrictOptions]):
    name: ClassVar[str] = "strict"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def detect(self, images: Any) -> Any:
        return []


class Fussy(Strict):
    name: ClassVar[str] = "fussy"
    error: ClassVar[BaseException] = RuntimeError("boom")

    def __init__(self, options: StrictOptions) -> None:
        super().__init__(options)
        raise self.error


@pytest.fixture
def plugins(install: Install) -> Plugins:
    return Plugins((install("a", **registering(Strict, Fussy)),))


def refused_make(plugins: Plugins, **wanted: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        plugins.make(wanted)
    return str(caught.value)


def test_detectors_are_made_with_their_options(plugins: Plugins) -> None:
    (detector,) = plugins.make({"strict": {"threshold": 0.9}})
    assert isinstance(detector, Strict)
    assert detector.options.threshold == 0.9


def test_an_unknown_detector_is_refused_with_those_that_exist(plugins: Plugins) -> None:
    assert refused_make(plugins, strickt={}) == (
        "no installed plugin has a detector named 'strickt' (did you mean 'strict'?); "
        "there are: fussy, strict"
    )


def test_without_detectors_there_is_nothing_to_do(plugins: Plugins) -> None:
    assert "RETINUE_DETECTORS names no detector" in refused_make(plugins)
    assert "install a plugin" in refused_make(Plugins(()))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"threshold": 2}, ["option threshold: ", "less than or equal to 1"]),
        ({"threshold": "high"}, ["option threshold: ", "valid number"]),
        ({"treshold": 0.5}, ["unknown option treshold", "its options: threshold, nested"]),
        ({"treshold": 0.5}, ["did you mean 'threshold'?"]),
        ({"nested": {"level": 9}}, ["option nested.level: ", "less than or equal to 3"]),
        ({"threshold": 2, "x": 1}, ["option threshold: ", "; unknown option x"]),
    ],
)
def test_a_bad_option_names_detector_field_and_allowed_values(
    plugins: Plugins, options: Any, parts: list[str]
) -> None:
    text = refused_make(plugins, strict=options)
    assert text.startswith("detector strict: ")
    for part in parts:
        assert part in text
    assert ("its options" in text) == ("unknown" in text)


def _validation_error() -> Exception:
    try:
        Picky(level=9)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("boom"), "detector fussy of fake_plugin_a unknown cannot be made: Runtime"),
        (SystemExit("boom"), "cannot be made: SystemExit: boom"),
        (ConfigurationError("option x is y"), "detector fussy: option x is y"),
        (NOT_EXCEPTIONS["panic"], "cannot be made: PanicException: boom"),
        (NOT_EXCEPTIONS["unprintable"], "cannot be made: UnprintablePanic"),
        # About a model of the detector's own, so no option of the user's is to blame.
        (_validation_error(), "cannot be made: ValidationError"),
    ],
)
def test_a_constructor_that_raises_is_named(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str
) -> None:
    monkeypatch.setattr(Fussy, "error", error)
    assert text in refused_make(plugins, fussy={})


# Plugins that get ready when the worker starts.


def starting(error: BaseException) -> dict[str, Any]:
    @hookimpl
    def retinue_worker_starting(options: Any) -> None:
        raise error

    @hookimpl
    def retinue_run_finished(run: Run) -> None:
        raise AssertionError("told although it did not start")

    return {
        "retinue_worker_starting": retinue_worker_starting,
        "retinue_run_finished": retinue_run_finished,
    }


@hookimpl
def retinue_filter_detections(detections: Any) -> None:
    """Keep everything."""


@pytest.mark.parametrize("error", [RuntimeError("boom"), *NOT_EXCEPTIONS.values()])
def test_a_plugin_that_does_not_get_ready_stops_those_who_want_it_only(
    install: Install, logged: list[dict[str, Any]], error: BaseException
) -> None:
    plugins = Plugins((install("a", **starting(error), **registering(Strict)), *POINTS))
    plugins.make({"pixels": {}})
    plugins.starting({})
    [problem] = [entry["problem"] for entry in logged if entry["event"] == "plugin_skipped"]
    assert problem.startswith(f"plugin a cannot start: {type(error).__name__}")
    assert plugins.problems == [problem]
    plugins.notify(finished())
    assert "observer_failed" not in [entry["event"] for entry in logged]


@pytest.mark.parametrize("error", [RuntimeError("boom"), *NOT_EXCEPTIONS.values()])
@pytest.mark.parametrize("why", ["options", "detector", "filter"])
def test_a_plugin_that_is_wanted_and_does_not_get_ready_is_named(
    install: Install, why: str, error: BaseException
) -> None:
    more = {"retinue_filter_detections": retinue_filter_detections} if why == "filter" else {}
    plugins = Plugins((install("a", **starting(error), **registering(Strict), **more), *POINTS))
    plugins.make({"strict" if why == "detector" else "pixels": {}})
    with pytest.raises(ConfigurationError, match=f"plugin a cannot start: {type(error).__name__}"):
        plugins.starting({"a": {}} if why == "options" else {})


def test_a_plugin_may_refuse_to_work_without_options(install: Install) -> None:
    plugins = Plugins((install("a", **starting(ConfigurationError("set bus"))),))
    with pytest.raises(ConfigurationError, match="plugin a: set bus"):
        plugins.starting({})


# Observers.


def finished() -> Run:
    record: RunRecord = work.run()
    return as_run(record, ImageReference("photos", "a.jpg", etag="e"))


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit("boom"), KeyboardInterrupt()])
def test_observers_are_isolated(
    install: Install, error: BaseException, logged: list[dict[str, Any]]
) -> None:
    told: list[str] = []

    def observer(name: str) -> dict[str, Any]:
        @hookimpl
        def retinue_run_finished(run: Run) -> None:
            told.append(name)
            if name == "b":
                raise error

        return {"retinue_run_finished": retinue_run_finished}

    @hookimpl
    def without_arguments() -> None:
        told.append("d")

    Plugins(
        (
            *(install(name, **observer(name)) for name in "abc"),
            install("d", retinue_run_finished=without_arguments),
        )
    ).notify(finished())
    assert sorted(told) == ["a", "b", "c", "d"]
    assert [(entry["event"], entry["plugin"]) for entry in logged] == [("observer_failed", "b")]
