"""The pages on speed show the figures that the benchmarks wrote, and no others."""

import json
from pathlib import Path

import pytest
from benchmarks.page import with_tables

from benchmarks import (
    bench_archive,
    bench_console,
    bench_detectors,
    bench_history,
    bench_objects,
    bench_recording,
    bench_video,
    bench_worker,
)


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "performance.md").read_text("utf-8")


def test_the_worker(root: Path, page: str) -> None:
    written = json.loads((root / "benchmarks" / "worker.json").read_text("utf-8"))
    holds(page, bench_worker.tables(written))


def test_the_history(root: Path, page: str) -> None:
    written = json.loads((root / "benchmarks" / "history.json").read_text("utf-8"))
    holds(page, {"questions": bench_history.questions_table(written)})
    for size in written["sizes"]:
        assert f"({size['gigabytes']:g} GB)" in page


def test_recording(root: Path, page: str) -> None:
    written = json.loads((root / "benchmarks" / "recording.json").read_text("utf-8"))
    holds(page, {"recording": bench_recording.recording_table(written)})


def test_videos(root: Path) -> None:
    page = (root / "docs" / "video.md").read_text("utf-8")
    written = json.loads((root / "benchmarks" / "video.json").read_text("utf-8"))
    history = json.loads((root / "benchmarks" / "history.json").read_text("utf-8"))
    tables = {"sampling": bench_video.table(written), "videos": bench_history.videos_table(history)}
    holds(page, tables)
    assert f"at most {written['memory']['rest_bytes'] / 1e6:.0f} MB" in page


def test_the_archive(root: Path) -> None:
    page = (root / "docs" / "archive.md").read_text("utf-8")
    written = json.loads((root / "benchmarks" / "archive.json").read_text("utf-8"))
    holds(page, {"archive": bench_archive.table(written)})


def test_local_detectors(root: Path) -> None:
    page = (root / "plugins" / "onnx" / "README.md").read_text("utf-8")
    written = json.loads((root / "benchmarks" / "detectors.json").read_text("utf-8"))
    holds(page, {"detectors": bench_detectors.table(written)})


def test_objects_in_photographs(root: Path) -> None:
    page = (root / "plugins" / "onnx" / "README.md").read_text("utf-8")
    written = json.loads((root / "benchmarks" / "objects.json").read_text("utf-8"))
    holds(page, {"objects": bench_objects.table(written["rows"])})
    [default] = [
        row
        for row in written["rows"]
        if row["people"] == row["others"] == 0.45 and row["overlap"] == 0.8
    ]
    check = (root / "docs" / "howto" / "models.md").read_text("utf-8")
    said = f"compared to {default['right']} and {default['wrong']} at 0.45 without the"
    assert said in " ".join(check.split())


def test_the_console(root: Path) -> None:
    page = (root / "docs" / "console.md").read_text("utf-8")
    written = json.loads((root / "benchmarks" / "console.json").read_text("utf-8"))
    holds(page, bench_console.tables(written))


def holds(page: str, tables: dict[str, str]) -> None:
    assert all(table in page for table in tables.values())
    assert with_tables(page, tables) == page
