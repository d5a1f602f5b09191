"""The main job: photographs in, detections out, SQL on top; interrupted; killed.

That the samples become rows, and once, is shown where README's commands are run (tests/docs).
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from acceptance.command_line import RETINUE, CommandLine
from click.testing import Result
from fakes.videos import BIKES
from PIL import Image
from retinue_cli.local import Emulator, State
from retinue_sdk import ImageReference

WaitUntil = Callable[[Callable[[], bool]], None]
Invoke = Callable[..., Result]


@pytest.fixture
def photographs(tmp_path: Path, history: None) -> Path:
    """Return a folder of small pictures with unusual names, beside a history."""
    folder = tmp_path / "my photos"
    (folder / "deep" / "er").mkdir(parents=True)
    names = ["a b.jpg", "a+b.jpg", 'it\'s "so".png', "deep/er/😀 é.webp", "%41.gif"]
    for number, name in enumerate(names):
        Image.new("RGB", (40 + number, 30), "red").save(folder / name)
    return folder


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an emulator that keeps several runs from starting their own."""
    with Emulator(State(tmp_path / "elsewhere" / ".retinue")) as emulator:
        yield emulator.endpoint.url


@pytest.mark.usefixtures("running_history")
def test_what_was_found_can_be_asked_for(
    retinue: CommandLine, photographs: Path, invoke: Invoke
) -> None:
    """By the commands that a run suggests, in each format, and without writing."""
    shown = invoke("run", str(photographs), "--detectors", "echo").stdout
    commands = [line.strip() for line in shown.splitlines() if " query " in line]
    assert len(commands) == 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert Path(program).name == "retinue"
        assert "row" in invoke(*arguments).stdout

    rows = retinue.query("select image_id, bucket, key, version from latest_detections")
    assert sorted(row["key"] for row in rows) == sorted(
        str(path.relative_to(photographs.parent)) for path in photographs.rglob("*.*")
    )
    for row in rows:
        reference = ImageReference(row["bucket"], row["key"], etag=row["version"])
        assert str(reference.image_id) == row["image_id"]

    sql = "select key, confidence, attributes from latest_detections order by key limit 1"
    assert invoke("query", sql, "--format", "csv").stdout.splitlines() == [
        "key,confidence,attributes",
        'my photos/%41.gif,1.0,"{""key"": ""my photos/%41.gif""}"',
    ]
    assert json.loads(invoke("query", sql, "--format", "json").stdout) == [
        {
            "key": "my photos/%41.gif",
            "confidence": 1.0,
            "attributes": {"key": "my photos/%41.gif"},
        }
    ]
    assert "1 row" in invoke("query", sql).stdout
    limited = invoke("query", "select * from images", "--limit", "2")
    assert "only the first 2 rows" in limited.stderr

    for sql in (
        "delete from runs",
        "select 1; delete from runs",
        "select pg_read_file('/etc/passwd')",
        "copy runs to program 'true'",
        "set role postgres",
    ):
        done = invoke("query", sql, check=False)
        if sql != "set role postgres":
            assert done.exit_code == 1, sql
        assert "Traceback" not in done.stderr
    assert retinue.query("select count(*) as n from runs") == [{"n": 5}]


@pytest.mark.usefixtures("running_history")
def test_the_view_says_what_the_screen_says(
    retinue: CommandLine, photographs: Path, invoke: Invoke, endpoint: str
) -> None:
    """Two folders with a file of one name, and a file that changes and changes back."""
    other = retinue.folder / "other" / photographs.name
    shutil.copytree(photographs, other)
    changing = photographs / "a b.jpg"
    Image.new("RGB", (10, 10), "blue").save(other / changing.name)
    first, second = changing.read_bytes(), (other / changing.name).read_bytes()

    def run(*folders: Path) -> dict[str, str]:
        arguments = ("run", *map(str, folders), "--detectors", "echo")
        shown = invoke(*arguments, AWS_ENDPOINT_URL=endpoint).stdout
        assert f"{5 * len(set(folders))} images, " in shown
        assert ("another folder is called my photos" in shown) == (other in folders)
        rows = retinue.query("select key, version from latest_runs where key like '%/a b.jpg'")
        return {row["key"]: row["version"] for row in rows}

    def etag(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    assert run(photographs) == {"my photos/a b.jpg": etag(first)}
    others = {"other/my photos/a b.jpg": etag(second)}
    assert run(other) == {"my photos/a b.jpg": etag(first)} | others
    for data in (second, first):
        changing.write_bytes(data)
        assert run(photographs, other, photographs) == {"my photos/a b.jpg": etag(data)} | others
    pictures = retinue.folder / ".retinue" / "annotated"
    assert {"a b.jpg", "a+b.jpg", 'it\'s "so"-png.jpg'} < {
        path.name for path in (pictures / "other/my photos").iterdir()
    }
    assert (pictures / "my photos/deep/er/😀 é-webp.jpg").exists()


LAMPS = """
from retinue_sdk import Capabilities, Detection, Detector, DetectorOptions, Findings, Input

class Options(DetectorOptions):
    label: str = "lamp"

class Lamps(Detector[Options]):
    name = "lamps"
    version = "1"
    capabilities = Capabilities(input=Input.BYTES)

    def detect(self, images):
        return [Findings([Detection("label", self.options.label, 1.0)]) for image in images]
"""


@pytest.mark.usefixtures("running_history")
def test_the_view_follows_the_options_in_use_and_a_new_look(
    retinue: CommandLine, photographs: Path, invoke: Invoke, endpoint: str
) -> None:
    """An option that is tried and dropped, and a plugin whose code changes."""
    plugin = retinue.folder / "plugins" / "lamps.py"
    plugin.parent.mkdir()
    plugin.write_text(LAMPS)
    photograph = str(photographs / "a b.jpg")

    def run(detectors: str, *arguments: str) -> str:
        said = invoke("run", photograph, "--detectors", detectors, *arguments, **variables).stdout
        [row] = retinue.query("select label from latest_detections")
        assert f" {row['label']} " in said, "the screen and the view agree"
        return f"{row['label']}: {said}"

    variables = {"RETINUE_PLUGINS_DIR": str(plugin.parent), "AWS_ENDPOINT_URL": endpoint}
    assert run("lamps").startswith("lamp:")
    assert run("lamps:label=sun").startswith("sun:")
    back = run("lamps")
    assert back.startswith("lamp:")
    assert "Nothing new" in back
    assert "its code has changed" not in back

    plugin.write_text(LAMPS.replace("self.options.label", "'moon'"))
    kept = " ".join(run("lamps").split())
    assert kept.startswith("lamp:")
    assert "lamps: its code has changed since version 1 was first used here" in kept
    anew = run("lamps", "--again")
    assert anew.startswith("moon:")
    assert "its code has changed" not in anew

    plugin.write_text(LAMPS.replace("self.options.label", "self.no_such_option"))
    broken = invoke("run", photograph, "--detectors", "lamps", "--again", **variables).stdout
    shown = broken[broken.index("\nlamps raised:\n") :].splitlines()
    assert shown[2].startswith(f'  File "{plugin}", line ')
    assert "AttributeError: 'Lamps' object has no attribute 'no_such_option'" in shown
    raised = [one for one in retinue.log_entries() if one["event"] == "detector_raised"]
    assert len(raised) == 2  # in AWS it would be tried more often


@pytest.mark.usefixtures("running_history")
def test_a_photograph_of_ones_own_is_shown(
    retinue: CommandLine, photographs: Path, invoke: Invoke
) -> None:
    """It is found again by its path, and recognised by its bytes."""
    invoke("run", str(photographs), "--detectors", "echo")
    original = photographs / "a b.jpg"
    assert "picture: a b.boxes.png" in invoke("show", "a b").stdout
    other = photographs / "a+b.jpg"
    refused = invoke("show", "my photos/a b.jpg", "--from", str(other), check=False)
    assert refused.exit_code == 1
    assert "is not the picture that the detectors saw" in refused.stderr
    for change, reason in (
        (lambda: shutil.copy(other, original), "is not the picture that the detectors saw"),
        (original.unlink, "no longer exists"),
    ):
        change()
        done = invoke("show", "a b", check=False)
        assert done.exit_code == 1
        assert "1.00" in done.stdout, "the list remains"
        assert reason in done.stderr

    picture = retinue.folder / ".retinue" / "annotated" / "my photos" / "a b.jpg"
    assert picture.exists()
    assert "a b.jpg" in retinue.log()
    forgotten = invoke("forget", "--image", "my photos/a b.jpg", "--yes").stdout
    assert "1 picture," in forgotten
    assert "not reached: the photographs themselves" in forgotten
    assert not picture.exists()
    assert "a b.jpg" not in retinue.log()
    assert "a+b.jpg" in retinue.log()


def test_bad_files_become_failed_runs_and_the_rest_is_detected(
    retinue: CommandLine, running_history: None, invoke: Invoke
) -> None:
    folder = retinue.folder / "bad"
    folder.mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "good.jpg")
    whole = (folder / "good.jpg").read_bytes()
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "garbage.jpg").write_bytes(b"\xff\xd8\xff" + b"garbage" * 20)
    (folder / "text.png").write_text("no picture")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("RGB", (64, 64)).save(folder / "png.jpg", format="PNG")
    Image.new("CMYK", (64, 64)).save(folder / "cmyk.jpg")
    Image.new("L", (1, 1)).save(folder / "dot.png")
    deep = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    Image.new("RGB", (64, 64)).save(
        folder / "animated.gif", save_all=True, append_images=[Image.new("RGB", (64, 64), "red")]
    )

    shown = invoke("run", str(folder)).stdout
    assert "11 images, 33 runs" in shown
    assert "15 failed runs" in shown
    failed = retinue.query("select distinct key, error_code, retryable from failed_runs order by 1")
    assert failed == [
        {"key": "bad/bomb.png", "error_code": "too_many_pixels", "retryable": False},
        {"key": "bad/empty.jpg", "error_code": "empty_file", "retryable": False},
        {"key": "bad/garbage.jpg", "error_code": "unsupported_format", "retryable": False},
        {"key": "bad/text.png", "error_code": "unsupported_format", "retryable": False},
        {"key": "bad/truncated.jpg", "error_code": "corrupt_image", "retryable": False},
    ]
    assert "Nothing new" in invoke("run", str(folder)).stdout


def test_the_console_stays_on_a_terminal_until_ctrl_c(
    retinue: CommandLine, photographs: Path, invoke: Invoke
) -> None:
    ours, theirs = os.openpty()
    run = retinue.start("run", str(photographs), "--detectors", "echo", stdout=theirs)
    os.close(theirs)
    shown = ""
    while "Ctrl-C stops it" not in shown:
        shown += os.read(ours, 65_536).decode(errors="replace")
    address, announced = re.findall(r"Console: (http://127\.0\.0\.1:\d+)", shown)
    assert address == announced
    assert shown.index(address) < shown.index("5 runs, ")
    with urlopen(f"{address}/index.json") as answer:
        images = json.load(answer)["images"]
    assert len(images) == 5
    for image in images:
        with urlopen(f"{address}/pictures/{image['image_id']}/thumbnail") as answer:
            assert answer.headers["content-type"] == "image/webp"
    # Another run in the same folder leaves this console alone.
    assert "Console:" not in invoke("run", str(photographs), "--detectors", "echo").stdout
    with urlopen(f"{address}/health") as answer:
        assert answer.status == 200
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) == 0
    os.close(ours)
    assert retinue.processes() == []


def test_a_console_ends_with_its_run(
    retinue: CommandLine, photographs: Path, wait_until: WaitUntil
) -> None:
    shown = retinue("run", str(photographs), "--detectors", "echo", "--console").stdout
    assert "Console: http://127.0.0.1:" in shown
    assert retinue.processes() == []
    run = retinue.start("run", str(photographs), "--detectors", "hostile-hangs", "--console")
    wait_until(lambda: '"receiving_started"' in retinue.log())
    assert any("console" in words for words in retinue.processes())
    run.kill()
    run.communicate()
    wait_until(lambda: not any("console" in words for words in retinue.processes()))


@pytest.mark.alone
def test_ctrl_c_ends_everything_within_two_seconds(
    retinue: CommandLine, photographs: Path, wait_until: WaitUntil
) -> None:
    run = retinue.start("run", str(photographs), "--detectors", "hostile-hangs")
    wait_until(lambda: '"receiving_started"' in retinue.log())
    time.sleep(0.5)  # let a detector begin to hang
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    shown, _ = run.communicate(timeout=30)
    took = time.monotonic() - began
    assert run.returncode == 130, shown
    assert "Traceback" not in shown
    assert took < 2.0, shown
    assert retinue.processes() == []


def test_after_kill_9_the_next_run_works(
    retinue: CommandLine, photographs: Path, invoke: Invoke, wait_until: WaitUntil
) -> None:
    run = retinue.start("run", str(photographs), "--detectors", "hostile-slow")
    wait_until(lambda: '"receiving_started"' in retinue.log())
    run.kill()
    run.communicate()
    assert retinue.processes(), "the kill left nothing behind, so this test shows nothing"

    shown = invoke("run", str(photographs), "--detectors", "echo").stdout
    assert "5 images, 5 runs, 5 detections" in shown
    assert retinue.processes() == []


@pytest.mark.long
def test_after_make_is_killed_the_next_run_works(
    retinue: CommandLine, photographs: Path, invoke: Invoke, wait_until: WaitUntil
) -> None:
    command = f"{RETINUE} run '{photographs}' --detectors hostile-hangs"
    (retinue.folder / "Makefile").write_text(f"run:\n\t@{command}\n")
    make = retinue.start("run", program="make")
    wait_until(lambda: '"receiving_started"' in retinue.log())
    make.kill()

    shown = invoke("run", str(photographs), "--detectors", "echo").stdout
    assert "5 images, 5 runs, 5 detections" in shown
    assert retinue.processes() == []


def test_two_runs_in_one_folder_are_refused(
    retinue: CommandLine, photographs: Path, invoke: Invoke, wait_until: WaitUntil
) -> None:
    first = retinue.start("run", str(photographs), "--detectors", "hostile-hangs")
    wait_until(lambda: '"receiving_started"' in retinue.log())
    second = invoke("run", str(photographs), check=False)
    assert second.exit_code == 2
    assert f"pid {first.pid}" in second.stderr
    assert retinue.query("select count(*) as n from detection_history") == [{"n": 0}]
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert retinue.processes() == []


def test_a_localstack_that_the_user_names_is_used(
    retinue: CommandLine, photographs: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """Another run names it by LOCALSTACK_HOST, as README does."""
    with Emulator(State(tmp_path / "elsewhere" / ".retinue")) as emulator:
        url = emulator.endpoint.url
        arguments = ("run", str(photographs), "--detectors", "echo")
        shown = invoke(*arguments, AWS_ENDPOINT_URL=url).stdout
        assert f"S3, SNS, SQS at {url}" in shown
        assert "5 images, 5 runs, 5 detections" in shown
        name = url.removeprefix("http://")
        assert "Nothing new" in invoke(*arguments, LOCALSTACK_HOST=name).stdout
        kept = emulator.endpoint.client("s3").list_objects_v2(Bucket="retinue-images")
        assert kept["KeyCount"] == 5
    assert retinue.processes() == []


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["run", "nowhere"], {}, "there is no folder or file nowhere"),
        (
            ["run", "--detectors", "onnx-object"],
            {},
            "named 'onnx-object' (did you mean 'onnx-objects'?); there are: ",
        ),
        (["run"], {"RETINUE_DETECTORS": '{"onnx-objects": {"threshold": 2}}'}, "threshold"),
        (
            ["run"],
            {"RETINUE_DETECTOR": "{}"},
            "RETINUE_DETECTOR isn't a setting",
        ),
        (["run"], {"RETINUE_MAX_IN_FLIGHT": "1"}, "RETINUE_MAX_IN_FLIGHT"),
        (["run"], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "nothing at http://127.0.0.1:9"),
        (["query", "select 1"], {}, "there is no history"),
    ],
)
def test_what_cannot_work_says_what_to_do(
    retinue: CommandLine,
    invoke: Invoke,
    arguments: list[str],
    settings: dict[str, str],
    message: str,
) -> None:
    done = invoke(*arguments, check=False, **settings)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert retinue.processes() == []


def test_a_program_that_fails_says_why_without_a_traceback(retinue: CommandLine) -> None:
    for arguments, message in (
        (["run", "nowhere"], "there is no folder or file nowhere"),
        (["worker"], "RETINUE_QUEUE_URL is not set"),
    ):
        done = retinue(*arguments, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_worker_that_cannot_start_is_told_with_its_log(
    retinue: CommandLine, photographs: Path, invoke: Invoke
) -> None:
    done = invoke("run", str(photographs), "--detectors", "hostile-configuration", check=False)
    assert done.exit_code == 2
    assert "the worker ended with exit code 2" in done.stderr
    assert "hostile-configuration" in done.stderr
    assert retinue.processes() == []


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("def model_fingerprint(self): return open('weights.npz').read()", "No such file"),
        ("def __init__(self, options): pass", "must call super().__init__(options)"),
        ("capabilities = property(lambda self: 1 / 0)", "ZeroDivisionError"),
    ],
)
def test_a_detector_that_cannot_be_used_is_named_without_a_traceback(
    photographs: Path, tmp_path: Path, invoke: Invoke, method: str, message: str
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN.format(method=method))
    chosen = ("--detectors", "broken", "--plugins-dir", str(tmp_path))
    for arguments in (
        ["run", str(photographs), *chosen],
        ["plugins", "check", "broken", *chosen[2:]],
    ):
        done = invoke(*arguments, check=False)
        assert done.exit_code in (1, 2)
        assert message in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


BROKEN = """
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Options(DetectorOptions):
    "Options."

class Broken(Detector[Options]):
    "Can't be used."
    name = "broken"
    version = "1"
    capabilities = Capabilities(Input.PIXELS)

    {method}

    def detect(self, images):
        return [Findings() for _ in images]
"""


def test_a_worker_that_crashes_is_told_with_the_place_and_the_remedy(
    retinue: CommandLine, photographs: Path, invoke: Invoke
) -> None:
    done = invoke("run", str(photographs), "--detectors", "hostile-crashes", check=False)
    assert done.exit_code == 2
    assert "the worker is gone: it was ended by SIGSEGV" in done.stderr
    assert "crashes.py" in done.stderr
    assert "RETINUE_ISOLATION" in done.stderr
    assert retinue.processes() == []


def test_videos_become_rows_with_times_and_pictures(
    retinue: CommandLine, running_history: None, tmp_path: Path, invoke: Invoke
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(BIKES, folder / "bikes.mp4")
    (folder / "list.mp4").write_text("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n")
    shown = invoke("run", str(folder), "--detectors", "onnx-objects").stdout
    assert "2 videos, 2 runs" in shown
    assert re.search(r"car +0\.\d\d +0:06\.0 – 0:07\.0", shown)
    assert "failed: not_a_video" in " ".join(shown.split())
    rows = retinue.query(
        "select label, start_ms, end_ms, attributes ->> 'best_ms' as best_ms "
        "from latest_detections order by start_ms"
    )
    assert all(0 <= row["start_ms"] <= row["end_ms"] <= 9_000 for row in rows)
    pictures = retinue.folder / ".retinue" / "annotated" / "clips" / "bikes.mp4"
    assert {float(picture.stem) * 1_000 for picture in pictures.iterdir()} == {
        float(row["best_ms"]) for row in rows
    }
    exported = invoke("export", "--format", "cvat", "bikes.xml")
    assert "warning" not in exported.stderr  # the frames' times are those of the file
    both = "onnx-objects,rekognition-video-labels"  # and the second one in jobs
    shown = invoke("run", str(folder), "--detectors", both).stdout
    assert "2 new runs; 2 were already in the history." in shown
    assert re.search(r"rekognition-video-labels +Person +0\.\d\d +0:0", shown)
    assert retinue.query("select from open_jobs") == []
    missing = invoke("replay", "--missing", "--json", RETINUE_DETECTORS=both).stdout
    assert json.loads(missing)["images"] == 0
    invoke("replay", "--yes", "--detector", "onnx-objects", RETINUE_DETECTORS=both)
    causes = json.loads(invoke("failures", "--detector", "onnx-objects", "--json").stdout)
    assert [cause["attempts"] for cause in causes["failed_runs"]] == [2]
