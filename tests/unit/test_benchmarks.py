"""Benchmarks are run by hand: that each can start is seen here."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.bench_flame import boxes, read
from benchmarks.bench_worker import at_least, at_most, figures
from benchmarks.label_service import answers

TESTS = Path(__file__).parents[1]
BENCHMARKS = sorted(f"benchmarks.{file.stem}" for file in (TESTS / "benchmarks").glob("bench_*.py"))


HELP = """
import runpy, sys

for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    else:
        sys.exit(f"{name} ran on after its help")
"""
"""Prints the help of one benchmark after the other. Most of that is to import what they share."""


def test_each_starts_as_make_bench_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, *BENCHMARKS],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.count("usage: ") >= len(BENCHMARKS)


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


def test_answers_look_like_rekognitions() -> None:
    bodies = answers()
    assert len(set(bodies)) == len(bodies)
    for labels in (json.loads(body)["Labels"] for body in bodies):
        assert len({label["Name"] for label in labels}) == 10
        assert [len(label["Instances"]) for label in labels] == [1, 1, *[0] * 8]
        for label in labels:
            told = [len(label[what]) for what in ("Parents", "Aliases", "Categories")]
            assert told == [2, 1, 1]


def test_a_figure_says_what_its_median_reaches() -> None:
    rounds = (1.0, 2.0, 9.0)
    assert at_least("", rounds, 1, 2).reached == "goal"
    assert at_least("", rounds, 2, 3).reached == "target"
    assert at_least("", rounds, 3, 4).reached == "missed"
    assert at_most("", rounds, 3, 2).reached == "goal"
    assert at_most("", rounds, 2, 1).reached == "target"
    assert at_most("", rounds, 1.5, 1).reached == "missed"


def test_a_ratio_is_of_one_round_and_against_the_better_peer() -> None:
    samples = {
        "Retinue": {"images_per_second": [100.0, 300.0], "cpu_ms": [0.5, 1.0]},
        "boto3, 16 threads": {"images_per_second": [50.0, 30.0], "cpu_ms": [2.0, 3.0]},
        "boto3, 64 threads": {"images_per_second": [40.0, 60.0], "cpu_ms": [1.0, 4.0]},
    }
    found = {one.name: one.rounds for one in figures({**samples})}
    assert found["images/s, ÷ the better boto3"] == (2.0, 5.0)
    assert found["images per core-second, ÷ the better boto3"] == (2.0, 3.0)
