"""The commands and examples of the page on the history do what it says, on a history like ours."""

import hashlib
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.command import run_retinue
from retinue_cli.local import package_photographs
from retinue_history import ConnectionPool, DetectionRecord, History, ImageRecord, RunKey, RunRecord
from retinue_sdk import ImageReference

PAGE = "docs/history.md"


@pytest.fixture
def seeded_url(history_url: str) -> str:
    """Return a database with findings like those of `make run` in two of its photographs."""
    pool = ConnectionPool(history_url, application_name="test")
    for photograph in package_photographs():
        if photograph.key not in ("astronaut.jpg", "coffee.jpg"):
            continue
        etag = hashlib.md5(photograph.path.read_bytes()).hexdigest()
        image = ImageReference("retinue-images", photograph.key, etag=etag)
        now = datetime.now(UTC)
        record = ImageRecord(
            image.image_id, image.bucket, image.key, etag, versioned=False, uploaded_at=now,
            sequencer="1", width_px=512, height_px=512,
        )  # fmt: skip
        runs = [
            RunRecord(
                RunKey(image.image_id, detector, "2", fingerprint),
                event_id="1",
                outcome="succeeded",
                retryable=False,
                started_at=now,
                duration_ms=1.0,
                detections=(DetectionRecord("label", label, 0.7, (0.1, 0.1, 0.5, 0.5)),),
            )
            for detector, fingerprint, label in (
                ("onnx-objects", "5a9a", "person"), ("onnx-faces", "9df3", "Face")
            )
        ]  # fmt: skip
        History(pool).record([record], runs)
    pool.close()
    return history_url


def run(line: str) -> str:
    """Run a command in this process, a second faster than in another; ``> FILE`` is obeyed."""
    command, _, file = line.partition(" > ")
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/retinue"
    done = run_retinue(*arguments)
    if file:
        Path(file).write_text(done.stdout, encoding="utf-8")
    return done.output


def test_every_command_works(
    blocks: list[Any], seeded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RETINUE_DATABASE_URL": seeded_url,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    said: dict[str, str] = {}
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        if block.page != PAGE:
            continue
        if block.language == "sh":
            for line in block.code.splitlines():
                if line:
                    said[line] = said.get(line, "") + run(line)
        else:
            assert block.language == "python"
            exec(block.code, {})
    imported = said[".venv/bin/retinue import truth.json"]
    assert "2 new truths in ground-truth\n" in imported
    assert "0 new truths in ground-truth, 2 known already\n" in imported
    assert "2 detections kept" in said[".venv/bin/retinue diff ground-truth onnx-objects"]
    assert "AP50:95" in said[".venv/bin/retinue evaluate onnx-objects"]
    mapped = said[".venv/bin/retinue evaluate onnx-faces --map person=Face --json"]
    assert json.loads(mapped)["overall"]["ap"] == pytest.approx(1)
    assert (tmp_path / "pr.png").stat().st_size > 10_000
    assert (tmp_path / "with-boxes.png").stat().st_size > 10_000
    assert (tmp_path / "people.csv").read_text("utf-8").count("person") == 2
    assert len((tmp_path / "everything.jsonl").read_text("utf-8").splitlines()) == 4
