"""Benchmarks are run by hand: that each can start is seen here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.bench_flame import boxes, read

TESTS = Path(__file__).parents[1]
BENCHMARKS = sorted(file.stem for file in (TESTS / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_starts_as_make_bench_starts_it(name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def test_a_flame_graph_has_each_function_as_wide_as_its_samples() -> None:
    stacks = read(
        "<module> (a.py:1);run (threading.py:982);work (a.py:7) 2\n"
        "<module> (a.py:2);work (a.py:8);rest (b.py:1) 1\n"
        "to\ufffdrn (a.py:7) 1\n"
    )
    assert [
        (round(left, 2), round(width, 2), name) for left, width, _, name in boxes(stacks, 3)
    ] == [
        (0, 1, "<module> (a.py)"),
        (0, 1, "work (a.py)"),
        (0, 0.33, "rest (b.py)"),
    ]
