"""Detectors in processes of their own: what they do to themselves harms nobody else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakes.plugin import PixelOptions, Pixels
from fakes.rig import MakeRig, Rig, hurried, keys
from fakes.waiting import eventually
from PIL import Image as PillowImage
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    Image,
    ImageLimits,
    Input,
    RetriableError,
)
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation.proxy import IsolatedDetector
from retinue_workers.settings.isolation import Isolation


def children() -> list[psutil.Process]:
    """Our detector processes, zombies too; multiprocessing's own helper is none."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() == psutil.STATUS_ZOMBIE or "spawn_main" in " ".join(child.cmdline())
    ]


def kill_children() -> None:
    killed = children()
    for process in killed:
        process.kill()
    # With a thread left, it is a zombie that can't be reaped yet.
    eventually(
        lambda: all(
            one.status() == psutil.STATUS_ZOMBIE and one.num_threads() == 1 for one in killed
        )
    )


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    eventually(lambda: not children(), what=f"no process left: {children()}")


def photograph(width: int = 8, height: int = 6) -> bytes:
    file = BytesIO()
    PillowImage.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def pixels_alone(**settings: Any) -> IsolatedDetector:
    return IsolatedDetector(
        Pixels(PixelOptions()),
        Isolation(**settings),
        limits=ImageLimits(),
        timeout_seconds=30,
        max_answer_bytes=100_000,
    )


ONE_FILE = '''
"""Tells where it works."""
import os
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Options(DetectorOptions):
    """One."""
    word: str = ""
    """What to say."""

class Where(Detector[Options]):
    """Tells where it works."""
    name = "where"
    version = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def detect(self, images):
        return [Findings(raw_response=[self.options.word, os.getpid()]) for _ in images]
'''


def test_a_plugin_that_is_one_file_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text(ONE_FILE)
    [made] = Plugins((), folder=tmp_path).make({"where": {"word": "here"}})
    isolated = IsolatedDetector(
        made, Isolation(), limits=ImageLimits(), timeout_seconds=30, max_answer_bytes=100_000
    )
    isolated.start()
    try:
        (findings,) = isolated.detect([Image.from_bytes(b"?")])
    finally:
        isolated.close()
    assert isinstance(findings, Findings)
    said: Any = findings.raw_response
    assert said[0] == "here"
    assert said[1] != os.getpid()


LEAKING = """
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Leaking(Detector[DetectorOptions]):
    name = "leaking"
    version = "1"
    capabilities = Capabilities(Input.BYTES)
    leaked = b""

    def detect(self, images):
        self.leaked += b"1" * int(images[0].read())
        return [Findings() for _ in images]
"""


def test_a_leak_is_told_from_an_image_that_needs_too_much(tmp_path: Path) -> None:
    (tmp_path / "leaking.py").write_text(LEAKING)
    [made] = Plugins((), folder=tmp_path).make({"leaking": {}})
    isolated = IsolatedDetector(
        made,
        Isolation(max_memory_bytes=2**28),
        limits=ImageLimits(),
        timeout_seconds=30,
        max_answer_bytes=100_000,
    )

    def crash(megabytes: int) -> bool:
        image = Image.from_bytes(str(megabytes * 2**20).encode())
        for _ in range(20):
            try:
                isolated.detect([image])
            except RetriableError:
                time.sleep(0.1)
            except DetectorCrashedError as error:
                return error.may_be_leak
        raise AssertionError("no crash")

    isolated.start()
    try:
        assert not crash(1_000)
        assert crash(40)
    finally:
        isolated.close()


CHANGING = """
from pathlib import Path
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Changing(Detector[DetectorOptions]):
    name = "changing"
    version = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def model_fingerprint(self):
        return Path(__file__).with_name("model").read_text()

    def start(self):
        if Path(__file__).with_name("model").stat().st_mode & 0o001:
            raise OSError("no driver")

    def detect(self, images):
        return [Findings() for _ in images]
"""


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ("version", ConfigurationError, "has version 2.0, and this worker started with version 1"),
        ("model", ConfigurationError, "its model, or an option's default, changed"),
        ("start", DetectorNotReadyError, "cannot start another process: OSError: no driver"),
    ],
)
def test_a_later_process_has_the_same_detector_or_none(
    tmp_path: Path, change: str, error: type[Exception], says: str
) -> None:
    code, model = tmp_path / "changing.py", tmp_path / "model"
    code.write_text(CHANGING)
    model.write_text("m1")
    [made] = Plugins((), folder=tmp_path).make({"changing": {}})
    isolated = IsolatedDetector(
        made, Isolation(), limits=ImageLimits(), timeout_seconds=30, max_answer_bytes=100_000
    )
    isolated.start()
    try:
        assert isolated.detect([Image.from_bytes(b"?")]) == [Findings()]
        match change:
            case "version":
                code.write_text(CHANGING.replace('"1"', '"2.0"'))
            case "model":
                model.write_text("m2")
            case "start":
                model.chmod(0o755)
        assert isolated.detect([Image.from_bytes(b"?")]) == [Findings()], "the process remains"
        kill_children()

        raised: list[Exception] = []

        def has_started() -> bool:
            with pytest.raises((error, RetriableError)) as caught:
                isolated.detect([Image.from_bytes(b"?")])
            raised.append(caught.value)
            return not isinstance(caught.value, RetriableError)

        eventually(has_started)
        assert says in str(raised[-1])
    finally:
        isolated.close()


FAILING = """
from retinue_sdk import Capabilities, Detector, DetectorOptions, Input, InvalidImageError

class Failing(Detector[DetectorOptions]):
    name = "failing"
    version = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def detect(self, images):
        large = b"1" * 2**24
        raise InvalidImageError("blank", code="blank")
"""


def test_an_error_keeps_no_memory_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    [made] = Plugins((), folder=tmp_path).make({"failing": {}})
    isolated = IsolatedDetector(
        made,
        Isolation(max_memory_bytes=2**28),
        limits=ImageLimits(),
        timeout_seconds=30,
        max_answer_bytes=100_000,
    )
    isolated.start()
    try:
        for _ in range(20):  # more than fit at a time
            [answer] = isolated.detect([Image.from_bytes(b"?")])
            assert str(answer) == "blank"
    finally:
        isolated.close()


def test_pixels_bytes_and_references_arrive_and_findings_are_the_same(rig: Rig) -> None:
    rig.upload("a.png", photograph())
    rig.upload("b.jpg", b"no picture")
    names = ("pixels", "bytes", "echo", "prepared")
    detectors: dict[str, dict[str, Any]] = {name: {} for name in names}
    rig.work_off(detectors, isolation={name: {} for name in detectors})
    query = "SELECT key, detector, fingerprint, label, confidence, attributes FROM {} ORDER BY 1, 2"
    isolated = rig.rows(query.format("detection_history"))
    assert [(row["detector"], row["label"]) for row in isolated if row["key"] == "a.png"] == [
        ("bytes", f"{len(photograph())} bytes"),
        ("echo", "a"),
        ("pixels", "8x6"),
        ("prepared", "8x6"),
    ]
    assert isolated[2]["attributes"] == {"colour": [255, 0, 0]}
    for name in ("pixels", "prepared"):
        assert rig.outcomes(name) == ["succeeded", "unsupported_format"]
    rig.upload("a.png", photograph())
    rig.work_off(detectors)  # the run keys are the same: nothing is left to do
    assert len(rig.runs()) == 8


@pytest.mark.parametrize(
    ("options", "settings", "says"),
    [
        ({"how": "segfault"}, {}, "SIGSEGV"),
        ({"how": "exit"}, {}, "status 70"),
        ({"how": "memory"}, {"max_memory_bytes": 300 * 2**20}, "out of memory"),
    ],
)
def test_a_crash_fails_its_image_and_no_other(
    make_rig: MakeRig, options: dict[str, Any], settings: dict[str, Any], says: str
) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    for key in ("poison.jpg", *keys(5)):
        rig.upload(key)
    crashing = {**options, "key_fragment": "poison", "max_batch_size": 3}
    rig.work_off(
        {"echo": {}, "hostile-crashes": crashing},
        isolation={"hostile-crashes": settings},
        within_seconds=60,
        detector_timeout_seconds=30,
    )
    assert rig.outcomes("echo") == ["succeeded"] * 6
    assert rig.outcomes("hostile-crashes") == ["detector_crashed"] + ["succeeded"] * 5
    [failed] = rig.rows("SELECT key, error_message FROM failed_runs")
    assert failed["key"] == "poison.jpg"
    assert says in failed["error_message"]
    assert rig.queue.dead_letters() == []


def test_the_stack_of_a_crash_is_an_event_of_the_log(
    make_rig: MakeRig, logged: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig(hurried(max_receive_count=1))
    rig.upload("a.jpg")
    name = "hostile-crashes"
    rig.work_off({name: {"how": "segfault"}}, isolation={name: {}}, within_seconds=60)
    [crash] = [entry for entry in logged if entry["event"] == "process_crashed"]
    assert crash["process"] == name
    assert crash["stack"].startswith("Fatal Python error: Segmentation fault")
    assert "in detect" in crash["stack"]
    assert "Fatal" not in capfd.readouterr().err


def test_a_hang_in_c_is_killed_and_its_thread_goes_on(rig: Rig) -> None:
    rig.upload("poison.jpg")
    crashing = {"how": "hang-in-c", "key_fragment": "poison"}
    with rig.running(
        {"hostile-crashes": crashing, "echo": {}},
        isolation={"hostile-crashes": {}},
        detector_timeout_seconds=1,
    ):
        rig.wait_until_empty(60)
        rig.upload("fine.jpg")
        rig.wait_until_empty(60)
        assert len(children()) == 1
    assert rig.outcomes("hostile-crashes") == ["detector_timeout", "succeeded"]


def test_a_process_that_dies_between_calls_costs_no_image(rig: Rig, logged: list[Any]) -> None:
    with rig.running({"echo": {}}, isolation={"echo": {}}):
        kill_children()
        rig.upload("a.jpg")
        rig.wait_until_empty(60)
    assert rig.outcomes("echo") == ["succeeded"]
    [lost] = [entry for entry in logged if entry["event"] == "detector_process_lost"]
    assert lost["reason"] == "it was ended by SIGKILL (out of memory?)"


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("hostile-raises", {}, "unexpected_error"),
        ("hostile-many", {}, "invalid_result"),
        ("hostile-huge-response", {"response_bytes": 100 * 2**20}, "invalid_result"),
        ("hostile-nan", {"where": "confidence"}, "invalid_result"),
        ("hostile-nan", {"where": "raw_response"}, "invalid_result"),
        ("hostile-unicode", {"where": "label"}, "invalid_result"),
        ("hostile-wrong-length", {"surplus": 1}, "invalid_result"),
        ("hostile-wrong-type", {"result": "dict"}, "invalid_result"),
        ("hostile-invalid-image", {}, "hostile"),
        ("hostile-retriable", {"failing_calls": 1, "retry_after_seconds": 0.01}, "succeeded"),
        ("hostile-not-ready", {"failing_calls": 1, "retry_after_seconds": 0.01}, "succeeded"),
        ("wrong", {"how": "model-version-raises"}, "invalid_result"),
        ("wrong", {"how": "label-not-text"}, "invalid_result"),
        ("wrong", {"how": "fieldless"}, "invalid_result"),
        ("wrong", {"how": "unprintable"}, "unexpected_error"),
    ],
)
def test_answers_are_checked_as_anywhere(
    make_rig: MakeRig, name: str, options: dict[str, Any], code: str
) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    rig.upload("a.jpg")
    rig.work_off({name: options}, isolation={name: {}}, within_seconds=60)
    assert rig.outcomes(name) == [code]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("hostile-crashes", {"where": "start", "how": "exit"}, "status 70"),
        ("hostile-configuration", {}, "option x is y"),
        ("hostile-raises", {"where": "start"}, "start raised"),
    ],
)
def test_a_detector_that_cannot_start_is_refused(
    memory_rig: Rig, name: str, options: dict[str, Any], says: str
) -> None:
    worker = memory_rig.worker({name: options}, isolation={name: {}})
    with pytest.raises(ConfigurationError, match=says):
        worker.start()


def test_a_stop_ends_a_call_under_way(rig: Rig) -> None:
    rig.upload("a.jpg")
    with rig.running(
        {"hostile-crashes": {"how": "hang-in-c"}},
        isolation={"hostile-crashes": {}},
        shutdown_grace_seconds=0,
    ):
        eventually(lambda: rig.queue.hidden() == 1)
        time.sleep(0.2)
    assert rig.runs() == []


def test_one_process_serves_call_after_call_until_it_is_closed() -> None:
    detector = pixels_alone()
    for _ in range(2):  # it may be closed and started again
        detector.start()
        [process] = children()
        for _ in range(3):
            [found] = detector.detect([Image.from_bytes(photograph())])
            assert isinstance(found, Findings)
        assert children() == [process]
        detector.close()
        assert children() == []


def is_over(process_id: int) -> bool:
    """Return whether a process is gone, or waits for a parent that does not care."""
    try:
        return psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


ORPHAN = """
import sys, time
sys.path[:0] = {path!r}
from fakes.rig import Rig
from fakes.history import MemoryHistory
from retinue_hostile.crashes import Crashes, CrashesOptions
from retinue_sdk import Image, ImageLimits
from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation.proxy import IsolatedDetector
from retinue_workers.settings.isolation import Isolation
from retinue_sdk.plugins.manager import Plugins
detector = IsolatedDetector(Crashes(CrashesOptions(how="hang-in-c", seconds=120)), Isolation(),
                   limits=ImageLimits(), timeout_seconds=120, max_answer_bytes=1000)
detector.start()
print(detector._idle[0].process_id, flush=True)
detector.detect([Image.from_bytes(b"x")])
"""


def test_a_process_dies_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "orphan.py"
    program.write_text(
        "if __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in ORPHAN.format(path=sys.path).splitlines()),
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        process_id = int(worker.stdout.readline())
        assert psutil.pid_exists(process_id)
        time.sleep(0.5)  # it hangs in C, with its interpreter locked
        os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: is_over(process_id), what="the detector's process to die")


def test_settings_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from retinue_workers.settings.settings import Settings

    monkeypatch.setenv("RETINUE_DETECTORS", '{"a": {}}')
    for value, says in (
        ('{"b": {}}', "b isn't one of the detectors"),
        ('{"a": {"max_memory_bytes": 1}}', "67108864"),
        ('{"a": {"memory": 1}}', "Extra inputs"),
    ):
        monkeypatch.setenv("RETINUE_ISOLATION", value)
        with pytest.raises(ConfigurationError, match=says):
            Settings.load()


class Shared(Pixels):
    """Shares a quota with other workers."""

    name = "shared"
    capabilities = Capabilities(Input.PIXELS, quotas={"acme": 5.0})


def test_a_detector_that_shares_a_quota_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"RETINUE_ISOLATION\[shared\]: this detector shares quotas"
    ):
        IsolatedDetector(
            Shared(PixelOptions()),
            Isolation(),
            limits=ImageLimits(),
            timeout_seconds=1,
            max_answer_bytes=100,
        )
