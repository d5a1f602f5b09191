"""Renders docs/checks.md from the checks.

``python docs/generators/checks_page.py`` prints it.
"""

import sys

from retinue_sdk.testing.check import Suite
from retinue_sdk.testing.check_life import MAX_GROWTH_BYTES, MIN_GROWTH_BYTES, STRETCHES
from retinue_sdk.testing.checks import CHECKS

_HEAD = """\
# The checks that a detector passes

Printed from the checks by `python docs/generators/checks_page.py`; a test compares.

There is one implementation of each check. pytest makes it when you subclass the test classes of
`retinue_sdk.testing` ([Write a detector](plugins.md) shows how), and `retinue plugins check NAME`
makes it without pytest, in a process of its own, and writes a report. A check calls the detector as
the worker would, with a time limit: a `Detector` on another thread than `start`, with an error that
it raises holding for the whole batch, and an `AsyncDetector` on an event loop.
"""

_WHOM = {
    Suite.DETECTOR: "Every detector.",
    Suite.PIXELS: "Detectors that declare `Input.PIXELS`.",
    Suite.BATCHES: "Detectors that declare `max_batch_size` above 1.",
    Suite.CONCURRENT: "Detectors that declare `max_concurrency` above 1.",
    Suite.ASYNC: "Subclasses of `AsyncDetector`.",
}

_TAIL = """\
## What a check needs of you

A check that has nothing to say is skipped, and says why. More of them have something to say when
the [subject](howto/http.md) tells more:

- `photographs`: files in which your detector finds something. Drawn pictures stand in for them.
- `options`: as they would stand in `RETINUE_DETECTORS`.
- `store`: for a service that reads S3 itself, what puts a file where the service finds it;
  `--bucket NAME` of `retinue plugins check` is one.
- `faults`: ways to make the service fail, with the class of error that each must come to.
- `secrets`: texts that must turn up nowhere, beside the options that are `SecretStr`.
- `timeout_seconds`: the longest call; 60, as in the worker, unless you say otherwise.
- `memory_images`: how many images the memory check shows. `--retinue-memory-images N` of pytest and
  `--memory-images N` of `retinue plugins check` override it.

## How memory is measured

The check shows {images:,} images in {all} stretches of the same length, and reads the process's
resident memory after each: `/proc/self/statm` on Linux, psutil elsewhere, after a collection of
garbage and (with glibc) `malloc_trim`. Memory that native code holds counts too.

The first stretch does not count: a model takes its memory there. A detector fails if memory grew
by more than {growth} kB an image (and by more than {least} MiB) in every one of the others. A pool
that takes another piece at some time does so in one of them; what is kept of every image shows in
each.
"""


def checks_page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for suite in Suite:
        parts.append(
            f"## `{suite}`\n\n{_WHOM[suite]}\n\n| check | a detector that passes |\n|---|---|"
        )
        rows = [check for check in CHECKS if check.suite is suite]
        parts[-1] += "".join(f"\n| `{check.id}` | {check.meaning} |" for check in rows)
        parts.append("\nWhat to do when one fails:\n")
        parts.append("\n".join(f"- `{check.id}`: {check.remedy}." for check in rows) + "\n")
    parts.append(
        _TAIL.format(
            images=1_000,
            all=STRETCHES + 1,
            growth=MAX_GROWTH_BYTES // 1_000,
            least=MIN_GROWTH_BYTES // 2**20,
        )
    )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(checks_page())
