"""Detectors are named alike in every command, and what is set about them applies to them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from retinue_cli.commands import run as command
from retinue_cli.commands.detect import detect
from retinue_cli.commands.plugins import plugins


@pytest.mark.parametrize(
    ("chosen", "configured", "wanted"),
    [
        (None, None, {"onnx-objects": {}, "onnx-faces": {}, "onnx-labels": {}}),
        (None, "a:x=1,b", {"a": {"x": 1}, "b": {}}),
        ("b:y=2", '{"a": {"x": 1}, "b": {"x": 1, "y": 1}}', {"b": {"x": 1, "y": 2}}),
    ],
)
def test_routes_are_checked_against_the_detectors_that_will_run(
    monkeypatch: pytest.MonkeyPatch,
    chosen: str | None,
    configured: str | None,
    wanted: dict[str, dict[str, object]],
) -> None:
    applied = []
    monkeypatch.setattr(
        "retinue_cli.local.run.run", lambda images, detectors, *_, **__: applied.append(detectors)
    )
    if configured is not None:
        monkeypatch.setenv("RETINUE_DETECTORS", configured)
    arguments = [] if chosen is None else ["--detectors", chosen]
    for name in wanted:
        monkeypatch.setenv("RETINUE_ROUTES", json.dumps({name: {"key": "*"}}))
        monkeypatch.setenv("RETINUE_ISOLATION", json.dumps({name: {}}))
        done = CliRunner().invoke(command.run, arguments)
        assert done.exit_code == 0, done.output
    assert applied == [wanted] * len(wanted)

    monkeypatch.setenv("RETINUE_ISOLATION", "{}")
    monkeypatch.setenv("RETINUE_ROUTES", '{"other": {"key": "*"}}')
    refused = CliRunner().invoke(command.run, arguments)
    assert "RETINUE_ROUTES: other isn't one of the detectors (" in str(refused.exception)


def test_commands_about_one_detector_take_its_options_with_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "tom.png")
    picture = str(tmp_path / "tom.png")
    shown = CliRunner().invoke(plugins, ["onnx-objects:max_concurrency=3"])
    assert "max_concurrency = 3" in shown.output
    for arguments in (["onnx-objects:threshold=2"], ["onnx-objects", "--options={'}"], ["a,b"]):
        refused = CliRunner().invoke(detect, [*arguments, picture])
        assert refused.exit_code != 0
    assert "name one detector, not 2: a, b" in refused.output
