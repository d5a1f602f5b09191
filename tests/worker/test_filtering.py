"""Plugins may filter what detectors found; a filter that fails lets nothing through."""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fakes.rig import POINTS, Rig
from retinue_sdk import (
    ConfigurationError,
    Detection,
    ImageReference,
    hookimpl,
)
from retinue_sdk.plugins.manager import Plugins


@pytest.fixture
def hooks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a plugin of the test's own: give it hooks, then ``load`` it into the rig."""
    module = ModuleType("filtering_plugin")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def load(rig: Rig, module: ModuleType, **functions: Any) -> None:
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    rig.plugins = Plugins((*POINTS, EntryPoint("privacy", module.__name__, "retinue")))


def labels(rig: Rig) -> list[tuple[str, Any]]:
    rows = rig.rows("SELECT label, attributes FROM detections ORDER BY label")
    return [(row["label"], row["attributes"]) for row in rows]


def test_a_filter_drops_alters_and_adds(rig: Rig, hooks: ModuleType) -> None:
    asked: list[tuple[str, str]] = []

    def retinue_filter_detections(
        image: ImageReference, detector: str, detections: Sequence[Detection]
    ) -> list[Detection] | None:
        asked.append((image.key, detector))
        if image.key == "plain.jpg":
            return None
        if image.key == "secret.jpg":
            return []
        return [*detections, Detection("note", "seen", 1.0, attributes={"by": "privacy"})]

    load(rig, hooks, retinue_filter_detections=retinue_filter_detections)
    for key in ("plain.jpg", "secret.jpg", "tom.jpg"):
        rig.upload(key)
    rig.work_off({"echo": {}})
    assert sorted(asked) == [(key, "echo") for key in ("plain.jpg", "secret.jpg", "tom.jpg")]
    assert labels(rig) == [
        ("plain", {"key": "plain.jpg"}),
        ("seen", {"by": "privacy"}),
        ("tom", {"key": "tom.jpg"}),
    ]
    raw = rig.rows(
        "SELECT raw_response IS NULL AS gone FROM runs JOIN images USING (image_id) ORDER BY key"
    )
    assert [row["gone"] for row in raw] == [False, True, True]


def test_it_may_leave_out_arguments(rig: Rig, hooks: ModuleType) -> None:
    load(rig, hooks, retinue_filter_detections=lambda detections: detections[:0])
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}})
    assert labels(rig) == []


def _raising(detections: Sequence[Detection]) -> None:
    raise SystemExit("no")


def _wrong(detections: Sequence[Detection]) -> Any:
    return [{"label": "tom"}]


def _nan(detections: Sequence[Detection]) -> Any:
    object.__setattr__(detections[0], "confidence", float("nan"))
    return detections


@pytest.mark.parametrize("wrong", [_raising, _wrong, _nan, lambda detections: 5])
def test_a_filter_that_fails_fails_the_run(rig: Rig, hooks: ModuleType, wrong: Any) -> None:
    load(rig, hooks, retinue_filter_detections=wrong)
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["filter_failed"]
    assert labels(rig) == []


def test_a_filter_makes_another_run_key(rig: Rig, hooks: ModuleType) -> None:
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}})
    load(rig, hooks, retinue_filter_detections=lambda: None)
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded", "succeeded"]
    prints = {row["fingerprint"] for row in rig.rows("SELECT fingerprint FROM runs")}
    assert len(prints) == 2


def test_plugins_hear_of_start_and_stop_with_their_options(rig: Rig, hooks: ModuleType) -> None:
    heard = SimpleNamespace(options=[], stops=[])
    load(
        rig,
        hooks,
        retinue_worker_starting=lambda options: heard.options.append(options),
        retinue_worker_stopping=lambda timeout_seconds: heard.stops.append(timeout_seconds),
    )
    with rig.running({"echo": {}}):
        pass
    with rig.running({"echo": {}}, plugin_options={"privacy": {"blur": True}}):
        pass
    assert heard.options == [None, {"blur": True}]
    assert len(heard.stops) == 2
    assert 0 < heard.stops[0] <= 1


def _refusing(options: Any) -> None:
    raise ConfigurationError("blur must be true or false")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"privacy": {}}, "plugin privacy: blur must be"),
        ({"nobody": {}}, "there is no plugin nobody; there are: fakes, hostile, privacy"),
        ({"hostile": {}}, "hostile takes no options"),
    ],
)
def test_options_that_cannot_work_are_refused(
    rig: Rig, hooks: ModuleType, options: dict[str, Any], says: str
) -> None:
    load(rig, hooks, retinue_worker_starting=_refusing)
    with pytest.raises(ConfigurationError, match=says):
        rig.worker({"echo": {}}, plugin_options=options).start()
