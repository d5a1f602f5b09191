"""Render docs/checks.md from the checks.

``python docs/generators/checks_page.py`` prints it.
"""

import inspect
import sys
from collections.abc import Iterator

from retinue_sdk.testing.check import Suite
from retinue_sdk.testing.check_life import MAX_GROWTH_BYTES, MIN_GROWTH_BYTES, STRETCHES
from retinue_sdk.testing.checks import CHECKS
from retinue_sdk.testing.jobs import BaseJobs

_HEAD = """\
# The checks that a detector passes

`python docs/generators/checks_page.py` prints this page from the checks.

Two programs run the same checks. pytest runs them when you subclass the test classes of
`retinue_sdk.testing` ([Your first plugin](plugins.md) shows how). `retinue plugins check NAME` runs
them without pytest, in a separate process, and writes a report. A check calls the detector as the
worker does, with a time limit. It calls a `Detector` on a different thread from `start`. An error
that the `Detector` raises applies to the whole batch. It calls an `AsyncDetector` on an event loop.
"""

_APPLIES_TO = {
    Suite.DETECTOR: "Every detector of images.",
    Suite.PIXELS: "Detectors that declare `Input.PIXELS`.",
    Suite.BATCHES: "Detectors that declare `max_batch_size` above 1.",
    Suite.CONCURRENT: "Detectors that declare `max_concurrency` above 1.",
    Suite.ASYNC: "Subclasses of `AsyncDetector`.",
}

_JOBS = """\
## `BaseJobs`

Subclasses of `JobDetector`, which process videos. Only pytest runs these checks. Define a fixture
`job_subject` that returns a `retinue_sdk.testing.JobSubject`: the class, its options, a video, and
functions that make the service's jobs end and make it forget them.

| check | the detector |
|---|---|
"""

_TAIL = """\
## What the checks need from you

A check that doesn't apply is skipped, and prints the reason. More checks apply if the
[subject](howto/services.md#test-failures-of-the-service) describes more:

- `photographs`: files in which your detector finds something. The default is drawn pictures.
- `options`: the options, as in `RETINUE_DETECTORS`.
- `store`: for a service that reads S3 itself, a function that stores a file where the service finds
  it. `retinue plugins check` has `--bucket NAME` for this.
- `faults`: ways to make the service fail, each with the error class that it must cause.
- `secrets`: texts that must never appear, in addition to the `SecretStr` options.
- `timeout_seconds`: the time limit of a call. The default is 60, as in the worker.
- `memory_images`: the number of images in the memory check. pytest's option
  `--retinue-memory-images N` and `--memory-images N` of `retinue plugins check` override it.

## How memory is measured

The check shows {images:,} images in {all} stretches of equal length, and reads the resident memory
of the process after each: from `/proc/self/statm` on Linux, with psutil elsewhere. Before each
reading it collects garbage and, with glibc, calls `malloc_trim`. Memory of native code counts, too.

The first stretch is ignored, because a model allocates its memory then. A detector fails if memory
grew by more than {growth} kB per image, and by more than {least} MiB, in every other stretch. A
pool that allocates another piece later grows in one stretch only. Memory that is kept for every
image grows in each.
"""


def checks_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    for suite in Suite:
        parts.append(f"## `{suite}`\n\n{_APPLIES_TO[suite]}\n\n| check | the detector |\n|---|---|")
        rows = [check for check in CHECKS if check.suite is suite]
        parts[-1] += "".join(f"\n| `{check.id}` | {check.meaning} |" for check in rows)
        parts.append("\nIf a check fails:\n")
        parts.append("\n".join(f"- `{check.id}`: {check.remedy}." for check in rows) + "\n")
    parts.append(_JOBS + "\n".join(_job_checks()) + "\n")
    parts.append(
        _TAIL.format(
            images=1_000,
            all=STRETCHES + 1,
            growth=MAX_GROWTH_BYTES // 1_000,
            least=MIN_GROWTH_BYTES // 2**20,
        )
    )
    return "\n".join(parts)


def _job_checks() -> Iterator[str]:
    """Yield the rows of the checks of jobs."""
    for name, check in vars(BaseJobs).items():
        if name.startswith("test_"):
            meaning = (inspect.getdoc(check) or "").removesuffix(".")
            yield f"| `{name.removeprefix('test_').replace('_', '-')}` | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(checks_page())
