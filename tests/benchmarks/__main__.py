"""Runs every benchmark, one after the other: each ``bench_*.py`` writes ``benchmarks/*.json``.

``make bench``, or ``make bench BENCHMARKS=rate_limits`` for some of them.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ALL = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))


def main(names: Sequence[str]) -> int:
    """Run benchmarks, all by default; returns how many failed."""
    if unknown := sorted(set(names) - set(ALL)):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    failed = 0
    for name in names or ALL:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        failed += bool(
            subprocess.run(
                [sys.executable, "-m", f"benchmarks.bench_{name}"], cwd=HERE.parents[1], check=False
            ).returncode
        )
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
