"""Draw a flame graph of the worker's processor time.

``python -m benchmarks.bench_flame`` (from tests/) drains a backlog with py-spy beside the worker,
and draws docs/worker-flame.svg: of all threads together, the moments in which one held the
interpreter's lock. The worker is not stopped for it, so some samples are torn, and left out. It
needs the right to read the memory of other processes (root, or ``kernel.yama.ptrace_scope=0``).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.backlog import fill, site, until_deleted
from benchmarks.contenders import Retinue
from benchmarks.database import postgres
from benchmarks.process import MeasuredProcess

PY_SPY = "py-spy==0.4.3"
IMAGES = 9_000
SECONDS = 8
A_SECOND = 500
PICTURE = Path(__file__).parents[2] / "docs" / "worker-flame.svg"

NARROWEST = 0.004
"""Part of all samples below which a function is not drawn."""
DEEPEST = 18

_THREADS = re.compile(r"^(Thread\.)?(_bootstrap|_bootstrap_inner|run) \(threading\.py")

Stacks = Mapping[tuple[str, ...], int]
"""Samples by their functions, outermost first."""


def record() -> Stacks:
    """Samples of a worker that drains a backlog."""
    who = Retinue()
    with (
        postgres() as server_url,
        site(server_url, 0) as place,
        tempfile.TemporaryDirectory() as folder,
    ):
        fill(place, who.bodies(IMAGES))
        environment = place.environment() | who.environment(place)
        process = MeasuredProcess(who.command(), environment, Path(folder, "log"))
        samples = Path(folder, "samples")
        try:
            until_deleted([process], place, IMAGES * 0.1)
            spy = [sys.executable, "-m", "uv", "tool", "run", PY_SPY, "record"]
            what = ["--gil", "--nonblocking", "--format", "raw", "--output", str(samples)]
            long = ["--duration", str(SECONDS), "--rate", str(A_SECOND), "--pid", str(process.pid)]
            subprocess.run([*spy, *what, *long], check=True)
        finally:
            process.stop()
        return read(samples.read_text(encoding="utf-8", errors="replace"))


def read(samples: str) -> Stacks:
    """Return py-spy's output without line numbers and the common frames of all threads."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in samples.splitlines():
        names, _, count = line.rpartition(" ")
        frames = [name for name in names.split(";") if not _THREADS.match(name)]
        if frames and names.isprintable() and "\N{REPLACEMENT CHARACTER}" not in names:
            stacks[tuple(re.sub(r":\d+\)$", ")", name) for name in frames)] += int(count)
    return stacks


def boxes(
    stacks: Stacks, everything: int, left: float = 0.0, depth: int = 0
) -> Iterator[tuple[float, float, int, str]]:
    """Left edge and width in parts of all samples, depth, and name of each function to draw."""
    inner: dict[str, Counter[tuple[str, ...]]] = {}
    for frames, count in stacks.items():
        if frames:
            inner.setdefault(frames[0], Counter())[frames[1:]] += count
    for name, below in sorted(inner.items(), key=lambda one: -one[1].total()):
        width = below.total() / everything
        if width >= NARROWEST and depth < DEEPEST:
            yield left, width, depth, name
            yield from boxes(below, everything, left, depth + 1)
        left += width


def draw(stacks: Stacks, file: Path) -> None:
    """Draw them, outermost functions on top."""
    mpl.rcParams["svg.hashsalt"] = "retinue"
    figure = Figure(figsize=(13, 6), layout="constrained")
    axes: Axes = figure.subplots()
    for left, width, depth, name in boxes(stacks, sum(stacks.values())):
        ours = "retinue" in name
        axes.barh(
            depth, width, 0.92, left, color="#f2b179" if ours else "#d5dbe3", edgecolor="white"
        )
        function = name.partition(" (")[0]
        if len(function) * 0.0055 < width:
            axes.text(left + width / 2, depth, function, ha="center", va="center", fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda part, _: f"{part:.0%}")
    axes.set_xlabel("part of all samples; ours in orange")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Record and draw."""
    argparse.ArgumentParser(description="A flame graph of the worker.").parse_args()
    draw(record(), PICTURE)
    sys.stdout.write(f"{PICTURE}\n")


if __name__ == "__main__":
    main()
