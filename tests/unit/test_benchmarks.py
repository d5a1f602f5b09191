"""Benchmarks are run by hand: that each can start is seen here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
