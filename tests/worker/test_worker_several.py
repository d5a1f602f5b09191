"""Several workers on one queue, and observers."""

from typing import Any

import pytest
from fakes import plugin
from fakes.events import BUCKET, created
from fakes.rig import Rig, keys
from retinue_sdk import Run


def test_two_workers_on_one_queue_make_one_run_of_each_key(rig: Rig, observed: list[Run]) -> None:
    etags = {}
    for key in keys(60):
        etags[key] = rig.s3.put_object(Bucket=BUCKET, Key=key, Body=b"?")["ETag"].strip('"')
    for _ in range(3):
        for key, etag in etags.items():
            rig.queue.send(created(key, etag=etag))
    detectors = {"echo": {"latency_ms": 3}, "hostile-retriable": {"failing_calls": 0}}
    with rig.running(detectors, max_in_flight=20), rig.running(detectors, max_in_flight=20):
        rig.wait_until_empty()
    assert len(rig.runs()) == 120
    assert rig.outcomes("echo") == ["succeeded"] * 60
    assert len(observed) == 120
    assert len({(run.image.key, run.detector) for run in observed}) == 120


def test_observers_are_told_of_each_run_once_whatever_others_do(
    rig: Rig, observed: list[Run], logged: list[Any]
) -> None:
    for key in keys(10):
        rig.upload(key)
    rig.work_off({"hostile-observed": {}, "hostile-invalid-image": {"code": "blurred"}})
    assert sorted((run.image.key, run.detector, run.error_code) for run in observed) == sorted(
        (key, detector, code)
        for key in keys(10)
        for detector, code in (("hostile-observed", None), ("hostile-invalid-image", "blurred"))
    )
    assert sum(entry["event"] == "observer_failed" for entry in logged) == 10


def test_an_observer_that_hangs_stops_nobody(rig: Rig, observed: list[Run]) -> None:
    plugin.observer_gate.clear()
    for key in keys(30):
        rig.upload(key)
    with rig.running({"echo": {}}, max_in_flight=10):
        rig.wait_until_empty()
        assert observed == []
        plugin.observer_gate.set()
    assert len(observed) == 30


def test_an_observer_that_leaves_is_as_one_that_raises(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(run: Run) -> None:
        raise SystemExit(run.image.key)

    for implementation in rig.plugins._manager.hook.retinue_run_finished.get_hookimpls():
        monkeypatch.setattr(implementation, "function", leave)
    for key in keys(30):
        rig.upload(key)
    rig.work_off({"echo": {}}, max_in_flight=10)
    assert rig.outcomes("echo") == ["succeeded"] * 30
