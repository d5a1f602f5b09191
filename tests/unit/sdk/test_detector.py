"""The rules of a detector class."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import pytest
from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Result,
)
from retinue_sdk.detector import detector_class


class BlurOptions(DetectorOptions):
    threshold: float = 0.5


class SharpOptions(BlurOptions):
    strength: float = 1


class Blur(Detector[BlurOptions]):
    name = "blur"
    version = "1.0"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        return [Findings() for _ in images]


OptionsT = TypeVar("OptionsT", bound=BlurOptions)


class Shared(Detector[OptionsT], Generic[OptionsT]):
    """A base class without a name: it is not registered itself."""

    version = "2"
    capabilities = Capabilities(Input.BYTES)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        return [Findings() for _ in images]


def test_a_detector_needs_little() -> None:
    detector = Blur(BlurOptions(threshold=0.25))
    detector.start()
    image = Image.from_bytes(b"x")
    assert detector.detect([image, image]) == [Findings(), Findings()]
    detector.close()
    assert detector.options.threshold == 0.25
    assert detector.model_version is None
    assert detector.model_fingerprint() == ""
    assert repr(detector) == "<Blur blur 1.0>"


def test_the_options_model_comes_from_the_brackets() -> None:
    assert Blur.options_model is BlurOptions

    class Sharp(Shared[SharpOptions]):
        name = "sharp"

    class Sharper(Sharp):
        name = "sharper"

    assert Sharp.options_model is SharpOptions
    assert Sharper.options_model is SharpOptions
    assert Shared.options_model is DetectorOptions


def test_without_brackets_there_are_no_options() -> None:
    class Plain(Detector):  # type: ignore[type-arg]
        name = "plain"
        version = "1"
        capabilities = Capabilities(Input.REFERENCE)

        def detect(self, images: Sequence[Image]) -> Sequence[Result]:
            return []

    assert Plain.options_model is DetectorOptions


def test_the_fingerprint_is_of_options_and_model() -> None:
    class Weighted(Blur):
        name = "weighted"

        def model_fingerprint(self) -> str:
            return "sha256:1"

    options = BlurOptions()
    assert Blur(options).fingerprint() == options.fingerprint()
    assert Weighted(options).fingerprint() == options.fingerprint("sha256:1")
    assert Blur(BlurOptions(threshold=0.1)).fingerprint() != Blur(options).fingerprint()


@pytest.mark.parametrize(
    "name", ["", "Blur", "blur_", "blur--x", "-blur", "blur-", "1blur", "a b", "blür", "blur\n", 5]
)
def test_a_name_is_lower_case_words_and_hyphens(name: Any) -> None:
    with pytest.raises(TypeError, match="lower-case words and hyphens"):
        type("Named", (Blur,), {"name": name})


@pytest.mark.parametrize("name", ["blur", "blur-2", "a1-b2-c3", "x"])
def test_proper_names(name: str) -> None:
    assert detector_class(type("Named", (Blur,), {"name": name})).name == name


@pytest.mark.parametrize("version", ["", None, 1])
def test_a_version_is_a_text(version: Any) -> None:
    with pytest.raises(TypeError, match="version must be a text"):
        type("Versioned", (Blur,), {"version": version})


def test_capabilities_are_no_method() -> None:
    with pytest.raises(TypeError, match="capabilities is a method: write @property above it"):
        type("Declared", (Blur,), {"capabilities": lambda self: Capabilities(Input.PIXELS)})


@pytest.mark.parametrize("method", ["start", "prepare", "detect", "close"])
def test_a_detector_on_threads_has_no_coroutines(method: str) -> None:
    async def never_awaited(*_: object) -> None: ...

    with pytest.raises(TypeError, match=f"{method} is a coroutine: derive the class from Async"):
        type("Awaited", (Blur,), {method: never_awaited})


def test_a_model_fingerprint_is_a_text() -> None:
    detector = type("Hashed", (Blur,), {"model_fingerprint": lambda self: b"hash"})(BlurOptions())
    with pytest.raises(TypeError, match="model_fingerprint must return text, not bytes"):
        detector.fingerprint()


def test_an_abstract_detector_cannot_be_made() -> None:
    class Unfinished(Detector[BlurOptions]):
        name = "unfinished"
        version = "1"

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(BlurOptions())  # type: ignore[abstract]
    with pytest.raises(TypeError, match="Unfinished does not define capabilities, detect"):
        detector_class(Unfinished)


@pytest.mark.parametrize(
    "candidate", [None, "blur", Blur(BlurOptions()), BlurOptions, int, Sequence[int]]
)
def test_only_detector_classes_can_be_registered(candidate: object) -> None:
    with pytest.raises(TypeError, match="only subclasses of Detector, AsyncDetector"):
        detector_class(candidate)


def test_a_registered_detector_has_a_name_and_is_finished() -> None:
    assert detector_class(Blur) is Blur
    with pytest.raises(TypeError, match="Shared needs a name and a version"):
        detector_class(Shared)
    with pytest.raises(TypeError, match="Detector does not define capabilities, detect"):
        detector_class(Detector)


def test_capabilities_have_modest_defaults() -> None:
    capabilities = Capabilities(Input.PIXELS)
    assert (capabilities.max_batch_size, capabilities.max_concurrency) == (1, 1)
    assert capabilities.requests_per_second is None
    assert capabilities.usd_per_unit == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch_size": 0},
        {"max_batch_size": -1},
        {"max_concurrency": 0},
        {"requests_per_second": 0},
        {"requests_per_second": -1},
        {"requests_per_second": math.nan},
        {"usd_per_unit": Decimal("-0.001")},
        {"usd_per_unit": Decimal("NaN")},
        {"usd_per_unit": Decimal("sNaN")},
        {"usd_per_unit": Decimal("Infinity")},
    ],
)
def test_a_detector_that_could_never_be_called_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Capabilities(Input.PIXELS, **wrong)
