"""The page on speed shows the figures that the benchmarks wrote, and no others."""

import json
from pathlib import Path

import pytest
from benchmarks.bench_worker import contenders_table, figures_table, with_tables


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "performance.md").read_text("utf-8")


def test_the_worker(root: Path, page: str) -> None:
    written = json.loads((root / "benchmarks" / "worker.json").read_text("utf-8"))
    assert contenders_table(written["samples"]) in page
    assert figures_table(written["figures"]) in page
    assert with_tables(page, written) == page


def test_the_history(root: Path, page: str) -> None:
    written = json.loads((root / "benchmarks" / "history.json").read_text("utf-8"))
    for one in written["questions"]:
        worked = f"{one['server_cpu_ms']:.2f} | {one['target_ms']}"
        assert f"| {one['name']} | {one['p50_ms']:.1f} | {one['p95_ms']:.1f} | {worked} |" in page
    for one in written["writes"]:
        name = one["name"].replace("100", "a hundred")
        assert f"| {name} | {one['images_per_second']:,} | {one['target']:,} |" in page
    assert f"did {written['fdatasync_a_second']:,} syncs a second" in page
