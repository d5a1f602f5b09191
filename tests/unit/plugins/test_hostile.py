"""That the hostile detectors misbehave as they say: tests elsewhere rely on it."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pluggy
import pytest
from retinue_hostile import plugin
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    ImageReference,
    Input,
    InvalidImageError,
    RetriableError,
    Run,
    hookspecs,
)
from retinue_sdk.detector import detector_class


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("retinue")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    return manager


@pytest.fixture
def detectors(manager: pluggy.PluginManager) -> dict[str, type[AnyDetector]]:
    found: list[type[AnyDetector]] = []
    manager.hook.retinue_register_detectors(register=found.append)
    return {detector_class(detector).name: detector for detector in found}


def unread() -> bytes:
    raise AssertionError("the image was read")


def image(key: str = "cats/tom.jpg") -> Image:
    return Image(ImageReference("photos", key, etag="e"), unread)


def make(
    detectors: dict[str, type[AnyDetector]], detector_name: str, **options: Any
) -> AnyDetector:
    detector = detectors[detector_name]
    return detector(detector.options_model(**options))


def answer(detectors: dict[str, type[AnyDetector]], detector_name: str, **options: Any) -> Findings:
    with DetectorSession(make(detectors, detector_name, **options)) as session:
        (findings,) = session.detect([image()])
    assert isinstance(findings, Findings)
    return findings


def by_reference(name: str) -> bool:
    """Return whether a detector reads no image; the others are there for the checks of the SDK."""
    return not name.startswith(("conforming", "failing-"))


def test_every_detector_and_option_is_described(detectors: dict[str, type[AnyDetector]]) -> None:
    assert len(detectors) == len(plugin.DETECTORS)
    for name, detector in detectors.items():
        assert vars(detector).get("__doc__"), name
        schema = detector.options_model.model_json_schema()
        for option, field in schema.get("properties", {}).items():
            assert field.get("description") or option == "mystery", (name, option)


def test_only_those_that_are_checked_with_pictures_look_at_pixels(
    detectors: dict[str, type[AnyDetector]],
) -> None:
    for name in detectors:
        declared = make(detectors, name).capabilities.input
        if name == "failing-input-honest":
            assert declared is Input.REFERENCE  # and it reads all the same
        else:
            assert (declared is Input.REFERENCE) == by_reference(name), name


def test_echo_finds_a_label_made_of_the_key_and_reads_nothing(
    detectors: dict[str, type[AnyDetector]],
) -> None:
    findings = answer(detectors, "echo")
    assert [detection.label for detection in findings.detections] == ["tom"]
    assert findings.billed_units == 1
    echo = make(detectors, "echo", max_batch_size=9)
    for key in ["/", "日本.jpg", "a" * 1_024, ".", "\n", "a/.hidden"]:
        (findings_or_error,) = echo.detect([image(key)])
        assert isinstance(findings_or_error, Findings)


def test_echo_performs_as_its_options_say(detectors: dict[str, type[AnyDetector]]) -> None:
    options: dict[str, Any] = {
        "latency_ms": 1,
        "max_batch_size": 5,
        "max_concurrency": 3,
        "requests_per_second": 50,
        "usd_per_unit": "0.001",
    }
    echo = make(detectors, "echo", **options)
    capabilities = echo.capabilities
    assert (capabilities.max_batch_size, capabilities.max_concurrency) == (5, 3)
    assert capabilities.requests_per_second == 50
    assert capabilities.usd_per_unit == Decimal("0.001")
    assert len(echo.detect([image()] * 5)) == 5
    assert echo.fingerprint() == make(detectors, "echo").fingerprint()


@pytest.mark.parametrize("where", ["constructor", "start", "detect", "close"])
def test_raises(detectors: dict[str, type[AnyDetector]], where: str) -> None:
    with pytest.raises(RuntimeError, match=where):
        answer(detectors, "hostile-raises", where=where)


@pytest.mark.parametrize("where", ["capabilities", "model_fingerprint"])
def test_raises_when_asked(detectors: dict[str, type[AnyDetector]], where: str) -> None:
    detector = make(detectors, "hostile-raises", where=where)
    with pytest.raises(RuntimeError, match=where):
        _ = detector.capabilities, detector.fingerprint()


def test_raises_for_one(detectors: dict[str, type[AnyDetector]]) -> None:
    detector = make(detectors, "hostile-raises-for-one", max_batch_size=3)
    assert len(detector.detect([image("a"), image("b")])) == 2
    with pytest.raises(RuntimeError):
        detector.detect([image("a"), image("poison"), image("b")])


def test_configuration(detectors: dict[str, type[AnyDetector]]) -> None:
    with pytest.raises(ConfigurationError):
        make(detectors, "hostile-configuration").start()


def test_not_ready(detectors: dict[str, type[AnyDetector]]) -> None:
    detector = make(detectors, "hostile-not-ready", failing_starts=1, retry_after_seconds=2)
    with pytest.raises(DetectorNotReadyError) as caught:
        detector.start()
    assert caught.value.retry_after_seconds == 2
    detector.start()
    with pytest.raises(DetectorNotReadyError):
        detector.detect([image()])
    assert len(detector.detect([image()])) == 1


def test_retriable(detectors: dict[str, type[AnyDetector]]) -> None:
    detector = make(detectors, "hostile-retriable", failing_calls=1)
    kinds = [
        [type(result) for result in detector.detect(images)]
        for images in ([image("a")], [image("a"), image("b")], [image("b")])
    ]
    assert kinds == [[RetriableError], [Findings, RetriableError], [Findings]]


def test_invalid_image(detectors: dict[str, type[AnyDetector]]) -> None:
    (error,) = make(detectors, "hostile-invalid-image", code="blurred").detect([image()])
    assert isinstance(error, InvalidImageError)
    assert error.code == "blurred"


@pytest.mark.parametrize(
    ("how", "expected"), [("sys-exit", SystemExit), ("keyboard-interrupt", KeyboardInterrupt)]
)
def test_exits(
    detectors: dict[str, type[AnyDetector]], how: str, expected: type[BaseException]
) -> None:
    with pytest.raises(expected):
        answer(detectors, "hostile-exits", how=how)


@pytest.mark.parametrize("name", ["hostile-hangs", "hostile-slow"])
def test_sleeps(detectors: dict[str, type[AnyDetector]], name: str) -> None:
    assert answer(detectors, name, seconds=0.001).detections


def test_leaks(detectors: dict[str, type[AnyDetector]]) -> None:
    detector: Any = make(detectors, "hostile-leaks", leaked_bytes=10)
    detector.detect([image()] * 3)
    assert detector.leaked == [b"\1" * 10] * 3


def test_nan(detectors: dict[str, type[AnyDetector]]) -> None:
    def say(where: str) -> tuple[Any, Any]:
        findings = answer(detectors, "hostile-nan", where=where)
        return findings, findings.detections[0]

    assert math.isnan(say("attributes")[1].attributes["sharpness"])
    assert math.isnan(say("raw_response")[0].raw_response["Confidence"])
    assert math.isnan(say("confidence")[1].confidence)
    assert math.isnan(say("box")[1].box.left)
    assert say("billed_units")[0].billed_units.is_nan()


def test_unicode(detectors: dict[str, type[AnyDetector]]) -> None:
    def say(where: str) -> tuple[Any, Any]:
        findings = answer(detectors, "hostile-unicode", where=where)
        return findings, findings.detections[0]

    assert "\ud800" in say("attributes")[1].attributes["text"]
    assert "\0" in say("raw_response")[0].raw_response["text"]
    assert "\0" in say("label")[1].label
    assert "\0" in say("model_version")[0].model_version
    (error,) = make(detectors, "hostile-unicode", where="error").detect([image()])
    assert "\0" in str(error)


def test_answers_of_unusual_size(detectors: dict[str, type[AnyDetector]]) -> None:
    assert len(answer(detectors, "hostile-many").detections) == 10_000
    response: Any = answer(detectors, "hostile-huge-response").raw_response
    assert len(response["Padding"]) == 32 * 2**20
    assert len(answer(detectors, "hostile-outside-boxes").detections) == 4


@pytest.mark.parametrize(("surplus", "number"), [(-1, 1), (-5, 0), (0, 2), (3, 5)])
def test_wrong_length(detectors: dict[str, type[AnyDetector]], surplus: int, number: int) -> None:
    detector = make(detectors, "hostile-wrong-length", surplus=surplus)
    assert len(detector.detect([image("a"), image("b")])) == number


@pytest.mark.parametrize(
    "result", ["none", "dict", "nothing", "generator", "detections", "exception"]
)
def test_wrong_type(detectors: dict[str, type[AnyDetector]], result: str) -> None:
    results: Any = make(detectors, "hostile-wrong-type", result=result).detect([image()])
    if result == "detections":
        (findings,) = results
        assert isinstance(findings.detections[0], dict)
    elif isinstance(results, Sequence):
        assert not isinstance(results[0], Findings)
    else:
        assert result in {"nothing", "generator"}


def test_the_observer_raises_for_one_detector_alone(manager: pluggy.PluginManager) -> None:
    def run(detector: str) -> Run:
        return Run(
            image=image().reference,
            detector=detector,
            detector_version="1",
            fingerprint="0" * 32,
            model_version=None,
            started_at=datetime(2025, 1, 1, tzinfo=UTC),
            duration_ms=1,
            detections=(),
            error_code=None,
            error_message=None,
            price_usd=Decimal(0),
        )

    manager.hook.retinue_run_finished(run=run("echo"))
    with pytest.raises(RuntimeError):
        manager.hook.retinue_run_finished(run=run("hostile-observed"))
