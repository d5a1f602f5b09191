"""Checks of a detector's life cycle: start, close, concurrency, secrets, memory."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from pydantic import SecretBytes, SecretStr

from retinue_sdk.detection import Findings
from retinue_sdk.detector import AnyDetector
from retinue_sdk.errors import RetinueError
from retinue_sdk.image import Image
from retinue_sdk.testing import pictures
from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Checks, NotApplicableError, Suite
from retinue_sdk.testing.check_options import secret_names
from retinue_sdk.testing.compare import expect_same
from retinue_sdk.testing.memory import resident_bytes

CHECKS = Checks()

MAX_GROWTH_BYTES = 40_000
"""Maximum growth of memory per image, in bytes. Any decoded picture of more than 115 by 115 pixels
is larger, so a detector that keeps one fails. The two detectors of retinue-onnx, measured over
1,000 images by this check, grew by 0.0 to 2.3 kB an image after the first 200.
"""

MIN_GROWTH_BYTES = 2**20
"""Growth over a stretch of images that is ignored, in bytes. Allocators request and return memory
in pieces (glibc's thresholds begin at 128 KiB, ``mallopt(3)``).
"""

STRETCHES = 4
"""How many stretches of images are measured, after a first one that isn't."""

MIN_MEMORY_IMAGES = 2 * (STRETCHES + 1)
"""Minimum number of images for the memory check."""

MAX_CALLS = 8
"""Maximum number of concurrent calls in the check of concurrency."""

ROUNDS = 3
"""How often each of them is repeated."""


@CHECKS.add(
    "restart",
    "Accepts close() at any time. After another start(), the answers are the same",
    remedy="release in close() everything that start() acquired, even if start() failed; acquire"
    " all of it again in start()",
)
def restart(bench: Bench) -> None:
    """Close a detector before its start, after its work, and twice."""
    detector = bench.make()
    bench.close(detector)
    bench.start(detector)
    try:
        before = [bench.single(image, detector) for image in bench.photographs()]
        bench.close(detector)
        bench.close(detector)
        bench.start(detector)
        after = [bench.single(image, detector) for image in bench.photographs()]
    finally:
        bench.close(detector)
    for number, results in enumerate(zip(before, after, strict=True)):
        expect_same(*results, f"photograph {number}, before and after a restart")


@CHECKS.add(
    "concurrent-equals-singles",
    "Returns the same answers in concurrent calls as in sequential ones",
    remedy="keep a call's data in local variables or behind a lock, or declare max_concurrency=1",
    suite=Suite.CONCURRENT,
)
def concurrent(bench: Bench) -> None:
    """Show different photographs in several concurrent calls."""
    bench.detector  # noqa: B018 - started before the threads begin
    alone = [bench.single(image) for image in bench.photographs()]
    number = min(bench.capabilities.max_concurrency, MAX_CALLS)
    together = Barrier(number)

    def call(index: int) -> None:
        place = index % len(alone)
        try:
            for turn in range(ROUNDS):
                image = bench.image(bench.subject.photographs[place], f"{index}-{turn}.png")
                together.wait(bench.subject.timeout_seconds)
                result = bench.single(image)
                where = f"photograph {place}, alone and in {number} calls at a time"
                expect_same(alone[place], result, where)
        except BaseException:
            together.abort()  # this thread may be abandoned
            raise

    with ThreadPoolExecutor(number) as pool:
        calls = [pool.submit(call, index) for index in range(number)]
    failures = [error for call_ in calls if (error := call_.exception()) is not None]
    # The other threads stop at the barrier, so report the first thread's failure.
    told = [error for error in failures if isinstance(error, CheckFailedError)] or failures
    if told:
        raise told[0]


@CHECKS.add(
    "no-secret-told",
    "Declares secrets as SecretStr, and keeps them out of repr, logs, output, errors and answers",
    remedy="declare the option as SecretStr, call get_secret_value() where it is used, and keep "
    "it, and URLs and headers with it, out of messages",
)
def secrets(bench: Bench) -> None:
    """Search everything that a working detector prints, logs and returns for secrets."""
    plain = secret_names(bench)
    if plain:
        raise CheckFailedError(
            f"options that are secrets by their names but plain text: {', '.join(plain)}"
        )
    options = bench.options()
    values = (getattr(options, name) for name in type(options).model_fields)
    hidden = [value for value in values if isinstance(value, SecretStr | SecretBytes)]
    known = [str(value.get_secret_value()) for value in hidden if value.get_secret_value()]
    known += bench.subject.secrets
    if not known:
        raise NotApplicableError("no option is a secret, and the subject names none")
    for where, text in _revealed_texts(bench):
        if any(secret in text for secret in known):
            raise CheckFailedError(f"a secret is in {where}")


@CHECKS.add(
    "memory-bounded",
    f"Stops allocating memory: less than {MAX_GROWTH_BYTES // 1_000} kB an image over 1,000 images",
    remedy="free everything of an image after its answer; use no growing list, no unbounded "
    "cache, and no tensor with gradients",
)
def memory(bench: Bench) -> None:
    """Show five stretches of images. A leak grows in each but the first.

    The first stretch is for memory that is allocated once: a model's arenas, caches that fill. A
    pool that allocates another large piece later does so in one or two stretches, not in all four.
    Memory that is kept for every image grows in each.

    The operating system measures (``/proc/self/statm``, or psutil), after a garbage collection and,
    with glibc, ``malloc_trim``. So memory of native code counts.
    """
    number = bench.subject.memory_images
    if not number:
        raise NotApplicableError("the memory check is switched off")
    if number < MIN_MEMORY_IMAGES:
        raise NotApplicableError(
            f"{number} images are too few to detect a leak: use {MIN_MEMORY_IMAGES} or more"
        )
    if resident_bytes() is None:
        raise NotApplicableError("this system doesn't report its memory; install psutil")
    size = number // (STRETCHES + 1)
    growths = []
    for stretch in range(STRETCHES + 1):
        before = resident_bytes() or 0
        _show(bench, range(stretch * size, (stretch + 1) * size))
        growths.append((resident_bytes() or 0) - before)
    least = min(growths[1:])
    if least > max(MIN_GROWTH_BYTES, size * MAX_GROWTH_BYTES):
        told = ", ".join(f"{growth / 2**20:.0f}" for growth in growths[1:])
        raise CheckFailedError(
            f"memory grew with every {size:,} images, by {told} MiB: at least "
            f"{least / size / 1_000:,.0f} kB an image"
        )


def _show(bench: Bench, numbers: range) -> None:
    """Show the photographs in turn, in batches, each time as a new image."""
    batch = min(bench.capabilities.max_batch_size, 8)
    data = bench.subject.photographs
    for first in range(0, len(numbers), batch):
        places = numbers[first : first + batch]
        bench.detect([bench.image(data[n % len(data)], f"image-{n}.png") for n in places])


def _revealed_texts(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield the places where a detector reveals texts, and the texts."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                detector = bench.make()
                bench.start(detector)
            except (RetinueError, CheckFailedError) as error:
                yield "the error of a start", repr(error) + str(error)
                raise
            yield "repr(detector)", f"{detector!r} {detector!s} {detector.options!r}"
            yield "the fingerprint", f"{bench.fingerprint(detector)} {detector.model_version}"
            files = pictures.corrupt(bench.subject.photographs[0])
            images = [*bench.photographs(), *(bench.image(files[name], name) for name in files)]
            for image in images:
                yield from _result(bench, image, detector)
            for fault in bench.subject.faults.values():
                with fault.happening():
                    yield from _result(bench, bench.photographs()[0], detector)
            bench.close(detector)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    yield "the log", log.getvalue()
    yield "the output", output.getvalue()


def _result(bench: Bench, image: Image, detector: AnyDetector) -> Iterator[tuple[str, str]]:
    try:
        result = bench.single(image, detector)
    except CheckFailedError as error:
        yield "an error", str(error)
        return
    if isinstance(result, Findings):
        yield "an answer", json.dumps(repr(result))
    else:
        yield "an error", f"{result!r} {result} {result.__cause__!r}"
