"""After a shortage, detectors get less work. An image fails only if others succeed."""

import errno
import math
import os
from typing import Any

import pytest
from fakes import work
from fakes.plugin import UnprintableError
from fakes.rig import MakeRig, Rig, hurried, keys
from retinue_hostile.shortages import ShortageOptions, shortage
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    RetriableError,
)
from retinue_workers.detectors import load_limit, suspects
from retinue_workers.detectors.errors import DetectorCrashedError, ShortageError
from retinue_workers.detectors.isolation.protocol import error_data, error_of
from retinue_workers.detectors.load_limit import LoadLimit
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.detectors.shortage import is_shortage
from retinue_workers.detectors.suspects import MOST_BLAMED, TRIES_ALONE, Suspects
from retinue_workers.limits.receive_gate import ReceiveGate


@pytest.fixture(autouse=True)
def _quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_limit, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(load_limit, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("retinue_workers.limits.receive_gate.PROBE_SECONDS", 0.05)


KINDS = ShortageOptions.model_fields["what"].annotation.__args__  # type: ignore[union-attr]


def of_kind(name: str, text: str, base: type[Exception] = RuntimeError) -> Exception:
    """Return an exception of a library that is not installed here."""
    return type(name, (base,), {})(text)


def caused(error: Exception, by: BaseException, *, context: bool = False) -> Exception:
    if context:
        error.__context__ = by
    else:
        error.__cause__ = by
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(shortage(what) for what in KINDS),
        MemoryError(),
        of_kind("_ArrayMemoryError", "Unable to allocate 74.5 GiB", MemoryError),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.02 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:73] DefaultCPUAllocator: can't allocate memory"
        ),
        of_kind("RuntimeException", "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
        of_kind("Fail", "[ONNXRuntimeError] : 1 : FAIL : bad allocation"),
        of_kind("Fail", "CUDA failure 2: out of memory ; GPU=0 ; hostname=a"),
        of_kind("Fail", "Available memory of 1024 is smaller than requested bytes of 4096"),
        of_kind("ResourceExhaustedError", "OOM when allocating tensor with shape[64,3]"),
        of_kind("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
        of_kind("error", "OpenCV(4.9) (-4:Insufficient memory) Failed to allocate 9 bytes"),
        of_kind(
            "LogicError", "clEnqueueNDRangeKernel failed: OUT_OF_RESOURCES / CL_OUT_OF_RESOURCES"
        ),
        OSError("out of memory error when decoding image file"),
        DetectorError("CUDA out of memory"),
        DetectorCrashedError("the process of x is gone: it ran out of memory"),
        ExceptionGroup("two", [ValueError("a"), MemoryError()]),
        caused(ValueError("bad picture"), MemoryError()),
        caused(ValueError("bad picture"), MemoryError(), context=True),
        caused(RetriableError("no answer"), caused(OSError("no route"), OSError(24, "x"))),
        caused(
            ConfigurationError("the model cannot be loaded"), RuntimeError("CUDA out of memory")
        ),
    ],
    ids=str,
)
def test_a_shortage_is_recognised_also_out_of_another_process(error: BaseException) -> None:
    assert is_shortage(error)
    assert is_shortage(error_of(error_data(error)))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("bug"),
        KeyError("memory"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        TimeoutError(),
        SystemExit(1),
        UnprintableError(),
        RetriableError("the service says: CUDA out of memory"),
        InvalidImageError("the picture shows the words No space left on device"),
        DetectorNotReadyError("out of memory"),
        caused(RetriableError("no answer"), ConnectionResetError(errno.ECONNRESET, "reset")),
        DetectorCrashedError("it was ended by SIGSEGV"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_another_error_is_none(error: BaseException) -> None:
    assert not is_shortage(error)


class _BrokenError(OSError):
    """An exception of a plugin that cannot be looked at."""

    @property
    def errno(self) -> int:  # type: ignore[override]
        raise ValueError("no number")


def test_an_error_that_cannot_be_looked_at_is_none() -> None:
    assert not is_shortage(_BrokenError())


def test_causes_in_a_circle_end() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__context__, other.__context__ = other, one
    assert not is_shortage(one)


# How much is tried at once.


class Now:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(load_limit.time, "monotonic", lambda: self.now)


def test_less_and_less_down_to_one_and_more_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Now(monkeypatch)
    load = LoadLimit("x", concurrency=4, batch_size=8)
    seen = []
    for _ in range(6):
        clock.now += load.reduce(clock.now, "short")
        seen.append((load.concurrency, load.batch_size))
    assert seen == [(4, 4), (4, 2), (4, 1), (2, 1), (1, 1), (1, 1)]
    assert load.is_single
    seen.clear()
    for _ in range(8):
        clock.now += load_limit.LONGEST_QUIET_SECONDS
        load.record_success()
        seen.append((load.concurrency, load.batch_size))
    assert seen[:6] == [(2, 1), (4, 1), (4, 2), (4, 4), (4, 8), (4, 8)]


def test_calls_that_fail_together_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Now(monkeypatch)
    load = LoadLimit("x", concurrency=16, batch_size=1)
    began = clock.now
    clock.now += 1
    waits = [load.reduce(began, "short") for _ in range(16)]
    assert load.concurrency == 8
    assert min(waits) == pytest.approx(max(waits)), "all wait until the pause is over"


# Whose fault it is.


class Judge:
    """Suspects of a detector that looks at one image at a time."""

    def __init__(self) -> None:
        self.gate = ReceiveGate()
        self.pauses: list[float] = []
        self.load = LoadLimit("x", 1, 1)
        self.successes = suspects.Successes()
        self.suspects = Suspects(
            self.gate, "images of x", self.load, self.pauses.append, self.successes
        )
        self._clock = 0.0

    def fails(self, task: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Return whether the image is to blame after it met a shortage once more."""
        self._clock += 31
        monkeypatch.setattr(load_limit.time, "monotonic", lambda: self._clock)
        answer = self.suspects.note(task, Answer(MemoryError("big"), work.NOW))
        is_images_fault = bool(answer.value.is_images_fault)  # type: ignore[union-attr]
        if is_images_fault:
            self.suspects.acquit(task)
        return is_images_fault

    def passes(self) -> None:
        self.suspects.note(work.task(), Answer(Findings(), work.NOW))


def test_without_others_that_pass_no_image_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, tasks = Judge(), [work.task() for _ in range(5)]
    judge.passes()
    for _ in range(20):
        verdicts = [judge.fails(task, monkeypatch) for task in tasks]
        assert not any(verdicts)
    assert judge.gate.lets_probes_pass
    assert all(judge.pauses)


def test_while_other_detectors_pass_images_are_to_blame_once_the_shortage_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge, tasks = Judge(), [work.task() for _ in range(5)]
    judge.passes()
    assert not judge.fails(tasks[0], monkeypatch)
    judge.successes.total += 1
    assert [judge.fails(task, monkeypatch) for task in tasks[1:]] == [False] * 3 + [True]
    assert judge.gate.lets_probes_pass
    assert [judge.fails(task, monkeypatch) for task in tasks[:4]] == [True] * 4
    assert judge.pauses[-5:] == [suspects.LASTING_PAUSE_SECONDS] * 5
    assert not judge.gate.reasons()
    assert not judge.fails(work.task(), monkeypatch), "a shortage that ended counts no more"


def test_a_success_ends_a_shortage_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, tasks = Judge(), [work.task() for _ in range(9)]
    assert not any(judge.fails(task, monkeypatch) for task in tasks[:4])
    judge.passes()
    assert not any(judge.fails(task, monkeypatch) for task in tasks[4:8])


def test_an_image_that_fails_alone_while_others_pass_is_to_blame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge, task = Judge(), work.task()
    verdicts = []
    for _ in range(TRIES_ALONE):
        verdicts.append(judge.fails(task, monkeypatch))
        judge.passes()
    assert verdicts == [False] * (TRIES_ALONE - 1) + [True]
    assert judge.gate.reasons() == {}


def test_an_outage_costs_few_images_until_it_lasts_however_slowly_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suspects, "LASTING_SECONDS", math.inf)
    judge = Judge()
    judge.passes()
    blamed = 0
    for _ in range(20):
        task = work.task()
        verdicts = [judge.fails(task, monkeypatch) for _ in range(10)]
        blamed += any(verdicts)
    assert blamed <= MOST_BLAMED


def test_a_suspect_that_ends_otherwise_opens_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, task = Judge(), work.task()
    for _ in range(2):
        judge.fails(task, monkeypatch)
    assert judge.gate.reasons()
    judge.suspects.acquit(task)
    assert not judge.gate.reasons()


def test_a_single_shortage_pauses_no_receiving(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge()
    for _ in range(5):
        task = work.task()
        assert not judge.fails(task, monkeypatch)
        assert not judge.gate.reasons()
        judge.suspects.note(task, Answer(Findings(), work.NOW))
        judge.suspects.acquit(task)
        judge.passes()


def test_a_process_at_its_own_limit_lowers_no_load_unless_the_next_one_is_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = Judge()
    judge.load = judge.suspects._load = LoadLimit("x", 4, 2)
    for _ in range(5):
        task = work.task()
        crash = DetectorCrashedError("it ran out of memory")
        crash.may_be_leak = True
        answer = judge.suspects.note(task, Answer(crash, work.NOW))
        assert isinstance(answer.value, ShortageError)
        assert answer.value.retry_after_seconds == 0
        assert (judge.load.concurrency, judge.load.batch_size) == (4, 2)
        judge.suspects.note(task, Answer(Findings(), work.NOW))
        judge.suspects.acquit(task)
    assert judge.pauses == []
    task = work.task()
    for _ in range(2):
        judge.suspects.note(task, Answer(crash, work.NOW))
    assert (judge.load.concurrency, judge.load.batch_size) == (4, 1)


# A whole worker.


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"at_once": 1, "max_concurrency": 8},
        {"at_once": 1, "max_batch_size": 16},
        {"at_once": 3, "max_batch_size": 4, "max_concurrency": 4},
        {"failing_calls": 25, "max_concurrency": 4},
    ],
    ids=str,
)
def test_no_image_fails_for_a_shortage(
    memory_rig: Rig, logged: list[Any], what: str, options: dict[str, Any]
) -> None:
    for key in keys(60):
        memory_rig.upload(key)
    memory_rig.work_off({"hostile-shortage": {"what": what, "seconds": 0.002, **options}})
    outcomes = [entry["outcome"] for entry in logged if entry["event"] == "run_recorded"]
    assert outcomes == ["succeeded"] * 60
    assert any(e["event"] == "receiving_paused" and "images of" in e["cause"] for e in logged)
    assert not any(line.startswith(("hide", "dead")) for line in memory_rig.queue.journal)


@pytest.mark.parametrize("place", [0, 30, 59])
@pytest.mark.parametrize("options", [{"max_concurrency": 4}, {"max_batch_size": 8}], ids=str)
def test_an_image_that_alone_needs_too_much_fails_alone(
    rig: Rig, place: int, options: dict[str, Any]
) -> None:
    names = keys(60)
    for number, key in enumerate(names):
        rig.upload("poison.jpg" if number == place else key)
    rig.work_off({"hostile-shortage": {"key_fragment": "poison", "seconds": 0.002, **options}})
    assert rig.outcomes("hostile-shortage") == ["resources_exhausted"] + ["succeeded"] * 59


@pytest.mark.parametrize("isolation", [{}, {"hostile-shortage": {}}], ids=["thread", "process"])
def test_a_detector_that_always_lacks_memory_fails_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, isolation: dict[str, Any]
) -> None:
    monkeypatch.setattr(suspects, "LASTING_SECONDS", 0.5)
    monkeypatch.setattr(suspects, "LASTING_PAUSE_SECONDS", 0.01)
    number = 4 if isolation else 60
    for key in keys(number):
        rig.upload(key)
    always = {"key_fragment": "", "max_concurrency": 2}
    rig.work_off({"hostile-shortage": always, "bytes": {}}, isolation=isolation, within_seconds=60)
    code = "detector_crashed" if isolation else "resources_exhausted"
    assert rig.outcomes("hostile-shortage") == [code] * number
    assert rig.outcomes("bytes") == ["succeeded"] * number


def test_a_start_that_lacks_memory_is_tried_until_there_is_some(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    monkeypatch.setattr("retinue_workers.detectors.runner.PROBE_SECONDS", 0.02)
    from retinue_hostile.shortages import Shortage

    problems: list[Exception] = [shortage("cuda"), shortage("onnx"), MemoryError()]

    def start(self: object) -> None:
        if problems:
            raise problems.pop()

    monkeypatch.setattr(Shortage, "start", start)
    memory_rig.upload("a.jpg")
    memory_rig.work_off({"hostile-shortage": {}})
    assert [e["outcome"] for e in logged if e["event"] == "run_recorded"] == ["succeeded"]


def test_a_worker_that_can_start_no_thread_for_a_while_loses_nothing(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    from retinue_workers.limits import threads

    monkeypatch.setattr("retinue_workers.detectors.runner.PROBE_SECONDS", 0.02)
    real, left = threads.Thread.start, [30]

    def start(self: Any) -> None:
        if self.name in ("retinue-prefetch", "retinue-bytes", "retinue-history") and left[0]:
            left[0] -= 1
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threads.Thread, "start", start)
    for key in keys(10):
        memory_rig.upload(key)
    memory_rig.work_off({"bytes": {}})
    outcomes = [e["outcome"] for e in logged if e["event"] == "run_recorded"]
    assert outcomes == ["succeeded"] * 10
    assert left == [0]
    assert not any(line.startswith(("hide", "dead")) for line in memory_rig.queue.journal)


def test_a_process_of_its_own_that_lacks_memory_costs_no_image_that_fits(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(hurried(max_receive_count=3))
    for key in keys(12):
        rig.upload(key)
    rig.work_off(
        {"hostile-shortage": {"at_once": 2, "max_batch_size": 6}},
        isolation={"hostile-shortage": {}},
        within_seconds=60,
    )
    assert rig.outcomes("hostile-shortage") == ["succeeded"] * 12
