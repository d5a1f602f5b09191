"""A plugin for today's SDK goes on working: the worker runs one that is never changed."""

import hashlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from fakes.rig import Rig
from retinue_sdk.plugins.manager import Plugins

FROZEN = Path(__file__).parents[1] / "compatibility/frozen_0_1/frozen_plugin.py"
SHA256 = "c0cf9ae2d0c4cb93d2065540766503f3f17070e8524ad572a2d48d53d9e280b3"
"""Whoever changes the plugin changes the promise: write another one beside it instead."""


def test_it_is_as_it_was() -> None:
    assert hashlib.sha256(FROZEN.read_bytes()).hexdigest() == SHA256


def test_a_worker_runs_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FROZEN.parent))
    monkeypatch.delitem(sys.modules, "frozen_plugin", raising=False)
    rig.plugins = Plugins((EntryPoint("frozen", "frozen_plugin", "retinue"),))
    assert rig.plugins.problems == []
    for words in (b"dog", b"broken"):
        rig.upload(f"{words.decode()}.jpg", words)
    rig.work_off({"frozen": {"key": "right", "threshold": 0.25}})
    assert rig.runs() == [
        ("broken.jpg", "frozen", "failed", "frozen_broken"),
        ("dog.jpg", "frozen", "succeeded", None),
    ]
    [row] = rig.rows("SELECT price_usd, model_version FROM runs WHERE outcome = 'succeeded'")
    assert float(row["price_usd"]) == 0.001
    assert row["model_version"] == "frozen-1"
    labels = rig.rows("SELECT label, confidence, attributes FROM detections ORDER BY confidence")
    assert [(one["label"], one["confidence"]) for one in labels] == [("dog", 0.75), ("dog", 1.0)]
    assert labels[0]["attributes"] == {"edges": 0.1}
    assert sys.modules["frozen_plugin"].told == ["a run", "a run"]
