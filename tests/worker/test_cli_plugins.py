"""Test the output of `retinue plugins`, `plugins check` and `detect`."""

import errno
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image as Pillow
from retinue_cli.app import retinue
from retinue_cli.commands import detect
from retinue_cli.local import AwsEndpoint
from retinue_cli.plugin_dev.check import process
from retinue_cli.plugin_dev.check.process import check_detector
from retinue_cli.plugin_dev.check.request import CheckRequest
from retinue_sdk.testing import CHECKS

Invoke = Callable[..., Result]

ONE_FILE = '''
"""Finds the left half."""
from retinue_sdk import *
from pydantic import Field

class Options(DetectorOptions):
    """One."""
    sureness: float = Field(0.5, ge=0, le=1)
    """How sure to be, 0 to 1."""

class Half(Detector[Options]):
    """Finds the left half."""
    name = "left-half"
    version = "1"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images):
        return [self._answer(image) for image in images]

    def _answer(self, image):
        try:
            image.pixels()
        except DetectorError as error:
            return error
        box = BoundingBox(0, 0, 0.5, 1)
        return Findings((Detection("half", "Left", self.options.sureness, box),))
'''


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs the command line with a folder that has one plugin."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "half.py").write_text(ONE_FILE)
    monkeypatch.setenv("RETINUE_PLUGINS_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(retinue, [str(each) for each in arguments])


def photograph(path: Path) -> Path:
    file = BytesIO()
    Pillow.new("RGB", (64, 48), "teal").save(file, "PNG")
    path.write_bytes(file.getvalue())
    return path


def test_the_list_has_the_folders_plugin(invoke: Invoke) -> None:
    said = invoke("plugins", "--json")
    assert said.exit_code == 0, said.output
    names = {one["name"]: one["distribution"] for one in json.loads(said.stdout)}
    assert names["left-half"].endswith("half.py")
    assert "onnx-objects" in names


def test_an_unusable_plugin_is_listed_with_its_remedy(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "plugins/broken.py").write_text("import torch_of_nobody\n")
    said = invoke("plugins")
    assert said.exit_code == 1
    assert "broken.py" in said.stderr
    assert "install it into this environment" in said.stderr
    assert "left-half version 1 (" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80 + len(str(tmp_path))


PANICS = """
from retinue_sdk import *
from pydantic import field_validator

class PanicException(BaseException):
    pass

class Options(DetectorOptions):
    level: int = 1

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema, handler):
        raise PanicException("boom")

class Panics(Detector[Options]):
    name = "panics"
    version = "1"

    @property
    def capabilities(self):
        raise PanicException("boom")

    def detect(self, images):
        return []
"""


FRAMED = """
from enum import StrEnum

from retinue_sdk import Capabilities, Detector, DetectorOptions, Input


class Frame(StrEnum):
    \"\"\"One that any program has.\"\"\"

    THIN = "thin"
    THICK = "thick"


class Options(DetectorOptions):
    frame: Frame = Frame.THIN
    \"\"\"The frame to draw.\"\"\"


class Framed(Detector[Options]):
    name = "framed"
    version = "1"
    capabilities = Capabilities(Input.BYTES)

    def detect(self, images):
        return []
"""


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_a_plugin_that_panics_keeps_no_other_from_the_list(
    invoke: Invoke, tmp_path: Path, error: str
) -> None:
    (tmp_path / "plugins" / "broken.py").write_text(f"raise {error}('boom')")
    (tmp_path / "plugins" / "panics.py").write_text(PANICS)
    for arguments in (["plugins"], ["plugins", "--json"]):
        listed = invoke(*arguments)
        assert listed.exit_code == 1
        assert "left-half" in listed.stdout
        assert f"{error}: boom" in listed.stderr
        assert "detector panics of" in listed.stderr
        assert "PanicException: boom" in listed.stderr


def test_a_detector_whose_capabilities_panic_is_shown(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "panics.py").write_text(
        PANICS.replace("Detector[Options]", "Detector[DetectorOptions]")
    )
    shown = invoke("plugins", "panics")
    assert shown.exit_code == 0
    assert "not known with these options: PanicException: boom" in shown.stdout


def test_a_contested_name_is_listed_with_both_remedies(invoke: Invoke, tmp_path: Path) -> None:
    twin = tmp_path / "plugins/twin.py"
    twin.write_text(ONE_FILE.replace("left-half", "echo"))
    said = invoke("plugins")
    assert said.exit_code == 1
    assert f"'echo' is registered by retinue-hostile and by {twin}: remove {twin}" in said.stderr
    assert ", or uninstall retinue-hostile" in said.stderr


def test_one_detector_is_shown_with_types_ranges_and_marks(invoke: Invoke) -> None:
    said = invoke("plugins", "onnx-objects")
    assert "std = null  (list of number or null, exactly 3, each above 0)" in said.stdout
    assert "threshold = null  (number or null, at least 0, at most 1)" in said.output
    assert "threads = 0  (integer, at least 0, at most 1,024, operational)" in said.output
    assert "input = pixels" in said.output
    sheet = json.loads(invoke("plugins", "left-half", "--json").stdout)
    assert sheet["options"]["sureness"]["description"] == "How sure to be, 0 to 1."
    assert sheet["capabilities"]["input"] == "pixels"


def test_an_option_is_described_and_not_its_type(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "framed.py").write_text(FRAMED)
    said = invoke("plugins", "framed")
    assert 'frame = "thin"  (one of "thin", "thick")\n      The frame to draw.\n' in said.stdout
    assert "One that any program has" not in said.stdout


def test_a_typing_error_is_met_with_a_guess(invoke: Invoke) -> None:
    said = invoke("plugins", "left-haf")
    assert said.exit_code == 2
    assert "did you mean 'left-half'?" in said.output
    said = invoke("detect", "left-half", __file__, "--options", '{"sureniss": 1}')
    assert "did you mean 'sureness'?" in said.output


@pytest.mark.parametrize("options", ["{", "[1]", "nonsense"])
def test_options_must_be_a_json_object(invoke: Invoke, options: str) -> None:
    said = invoke("plugins", "check", "left-half", "--options", options)
    assert said.exit_code == 2
    assert "such as" in said.output


def test_try_prints_findings_and_saves_a_picture(invoke: Invoke, tmp_path: Path) -> None:
    good = photograph(tmp_path / "good.png")
    said = invoke("detect", "left-half", good, "--options", '{"sureness": 0.75}')
    assert said.exit_code == 0, said.output
    assert "75.0%  Left  (half)" in said.output
    assert (tmp_path / ".retinue/detect/good-png.jpg").exists()


def test_try_tells_what_could_not_be_looked_at(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    said = invoke("detect", "left-half", tmp_path / "bad.jpg", photograph(tmp_path / "good.png"))
    assert said.exit_code == 1
    assert "InvalidImageError (unsupported_format)" in said.output
    assert "Left" in said.output


def test_faults_of_the_output_are_not_the_detectors(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = photograph(tmp_path / "good.png")
    (tmp_path / "full").write_text("a file, and no folder")
    said = invoke("detect", "left-half", good, "--pictures", tmp_path / "full/below")
    assert said.exit_code in (1, 2)
    assert "detector left-half" not in said.stderr
    assert "full" in said.stderr

    def closed(look: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(detect, "print_look", closed)
    said = invoke("detect", "left-half", good)
    assert (said.exit_code, said.stderr) == (141, "")


@pytest.mark.parametrize(("command", "exit_code"), [("detect", 1), ("plugins check", 2)])
def test_a_detector_of_videos_is_refused_in_a_line(
    invoke: Invoke, tmp_path: Path, command: str, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    files = [photograph(tmp_path / "good.png")] if command == "detect" else []
    said = invoke(*command.split(), "rekognition-video-labels", *files)
    assert said.exit_code == exit_code
    [line] = said.output.strip().splitlines()
    assert "processes videos, in jobs of a service" in line


def test_try_takes_a_folder_and_prints_attributes_and_versions(
    invoke: Invoke, tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    (photographs / "sub").mkdir(parents=True)
    photograph(photographs / "sub/one.png")
    photograph(photographs / "two.png")
    for name in ("list.txt", "notes.txt"):
        (photographs / name).touch()
    (tmp_path / "reader.py").write_text(READER.format(body=(
        "return [Findings((Detection('text', 'sign', 0.5, attributes={'text': 'EXIT'}),))]"
    )))  # fmt: skip
    said = invoke("detect", "reader", photographs, "--plugins-dir", tmp_path)
    assert said.exit_code == 0, said.output
    assert "reader version 7, model net-3" in said.output
    assert said.output.count('{"text": "EXIT"}') == 2
    assert (tmp_path / ".retinue/detect/sub/one-png.jpg").exists()
    assert "passed over: 2 documents (list.txt, notes.txt)" in said.output


def test_try_prints_the_model_of_each_answer(invoke: Invoke, tmp_path: Path) -> None:
    given = [photograph(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "reader.py").write_text(READER.format(body=(
        "self.calls = getattr(self, 'calls', 0) + 1\n"
        "        return [Findings((), model_version='net-4' if self.calls > 1 else None)]"
    )))  # fmt: skip
    plugin = ("--plugins-dir", tmp_path)
    said = invoke("detect", "reader", *given, *plugin).output
    assert [line for line in said.splitlines() if not line.startswith(" ")] == [
        *("reader version 7, model net-3", "a.png"),
        *("reader version 7, model net-4", "b.png", "c.png"),
    ]
    looks = json.loads(invoke("detect", "reader", *given, "--json", *plugin).stdout)
    assert [look["model_version"] for look in looks] == ["net-3", "net-4", "net-4"]


def test_photographs_of_one_name_are_told_apart(invoke: Invoke, tmp_path: Path) -> None:
    given = [tmp_path / folder / "IMG_7.png" for folder in "ab"]
    for path in given:
        path.parent.mkdir()
        photograph(path)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    said = invoke("detect", "left-half", *given, bad)
    assert "\na/IMG_7.png\n" in said.output
    pictures = [f".retinue/detect/{folder}/IMG_7-png.jpg" for folder in "ab"]
    assert all((tmp_path / picture).exists() for picture in pictures)

    looks = json.loads(invoke("detect", "left-half", *given, bad, "--json").stdout)
    assert [look["path"] for look in looks] == [str(path) for path in (*given, bad)]
    assert [look["picture"] for look in looks] == [*pictures, None]
    assert [look["error_code"] for look in looks] == [None, None, "unsupported_format"]
    [found] = looks[0]["detections"]
    assert (found["label"], found["box_width"], found["attributes"]) == ("Left", 0.5, {})


def test_a_wrong_number_of_answers_is_named(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(READER.format(body="return []"))
    said = invoke("detect", "reader", photograph(tmp_path / "good.png"), "--plugins-dir", tmp_path)
    assert said.exit_code == 1
    assert "detect returned 0 results for 1 image" in said.output


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [Findings((), {1, 2})]", "the raw response cannot be stored as JSON"),
        ("return [Findings((), float('nan'))]", "the raw response cannot be stored as JSON"),
        (
            "return [Findings((Detection('text', 'a', 0.5, attributes={'a': b''}),))]",
            "a detection's attributes cannot be stored as JSON: bytes is not a JSON type",
        ),
        ("return [Findings((Detection('text', 'a', 0.5),) * 5_001)]", "the limit is 5,000"),
        ("return [[Detection('text', 'a', 0.5)]]", "detect returned a list, not Findings"),
        ("return [Findings((), None, 3)]", "the model's version must be text, not 3"),
    ],
)
def test_an_answer_that_could_not_be_recorded_fails(
    invoke: Invoke, tmp_path: Path, body: str, message: str
) -> None:
    (tmp_path / "reader.py").write_text(READER.format(body=body))
    said = invoke("detect", "reader", photograph(tmp_path / "good.png"), "--plugins-dir", tmp_path)
    assert said.exit_code == 1
    assert "InvalidImageError (invalid_result): " in said.output
    assert message in said.output


@pytest.mark.parametrize("command", ["detect", "plugins check"])
def test_what_a_plugin_prints_is_not_in_the_json(
    invoke: Invoke, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    body = "__import__('os').write(1, b'native'); print('progress'); return [Findings()]"
    (tmp_path / "reader.py").write_text(READER.format(body=body))
    given = (photograph(tmp_path / "good.png"),) if command == "detect" else ()
    said = invoke(*command.split(), "reader", *given, "--plugins-dir", tmp_path, "--json")
    assert json.loads(said.stdout)
    printed = capfd.readouterr()
    assert "native" not in printed.out
    assert "native" in printed.err


def test_try_outlives_a_plugin_that_exits(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(READER.format(body="raise SystemExit(0)"))
    said = invoke("detect", "reader", photograph(tmp_path / "good.png"), "--plugins-dir", tmp_path)
    assert said.exit_code == 1
    assert said.output.rstrip().endswith("SystemExit: 0")


def test_try_shows_what_a_plugin_raises_from_its_own_frames_on(
    invoke: Invoke, tmp_path: Path
) -> None:
    good = photograph(tmp_path / "good.png")
    (tmp_path / "reader.py").write_text(READER.format(body="return 1 / 0"))
    said = invoke("detect", "reader", good, "--plugins-dir", tmp_path)
    assert said.exit_code == 1
    lines = [line for line in said.output.splitlines() if line.startswith("  File")]
    assert len(lines) == 1
    assert "reader.py" in lines[0]
    assert said.output.rstrip().endswith("ZeroDivisionError: division by zero")


READER = """
from retinue_sdk import Capabilities, Detection, Detector, Findings, Input, hookimpl


class Reader(Detector):
    name = "reader"
    version = "7"
    capabilities = Capabilities(Input.BYTES)
    model_version = "net-3"

    def detect(self, images):
        {body}


@hookimpl
def retinue_register_detectors(register):
    register(Reader)
"""


def test_check_prints_a_report_for_programs(invoke: Invoke) -> None:
    said = invoke("plugins", "check", "left-half", "--memory-images", 20, "--json")
    # Half of an image is the left half however it is turned, so nothing is wrong with it.
    assert said.exit_code == 0, said.output
    written = json.loads(said.stdout)
    assert [check["id"] for check in written["checks"]] == [check.id for check in CHECKS]
    assert written["detector"] == "left-half"
    assert {check["outcome"] for check in written["checks"]} == {"passed", "skipped"}


def test_check_tells_what_fails_and_the_remedy(invoke: Invoke) -> None:
    name = "failing-options-unknown-refused"
    said = invoke("plugins", "check", name, "--memory-images", 0)
    assert said.exit_code == 1
    assert "failed  options-unknown-refused" in said.output
    assert "remedy: derive the options from DetectorOptions" in said.output
    assert f"{name} fails 1 of {len(CHECKS)} checks" in said.output


def test_check_outlives_a_detector_that_ends_its_process(invoke: Invoke) -> None:
    options = '{"how": "process"}'
    said = invoke("plugins", "check", "hostile-exits", "--options", options, "--json")
    assert said.exit_code == 1, said.output
    assert "hostile-exits works by reference" in said.stderr
    written = json.loads(said.stdout)["checks"]
    lost = [check["message"] for check in written if check["outcome"] == "failed"]
    assert len(lost) == 3  # and then no more of them are tried
    assert all("took its process with it: it exited with status" in message for message in lost)
    assert [check["id"] for check in written] == [check.id for check in CHECKS]
    assert written[0]["outcome"] == "passed"
    assert "not tried" in written[-1]["message"]


BROKEN = """
from retinue_sdk import *

class Narrow(Detector):
    '''Cannot look at thin pictures.'''
    name = "narrow"
    version = "1"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images):
        return list(map(self._answer, images))

    def _answer(self, image):
        height, width = image.pixels().shape[:2]
        Detection("half", "Left", 1 / (min(height, width) - 1))
        return Findings()
"""


def test_check_names_the_picture_and_the_plugins_own_lines(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "narrow.py").write_text(BROKEN)
    said = invoke("plugins", "check", "narrow", "--memory-images", 0, "--json")
    [check] = [check for check in json.loads(said.stdout)["checks"] if check["id"] == "odd-sizes"]
    first, *rest = check["message"].splitlines()
    assert "detect() of 1x1.png raised ZeroDivisionError" in first
    files = [line for line in rest if line.strip().startswith("File ")]
    assert len(files) == 2
    assert all("narrow.py" in line for line in files)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_the_kind", "(line 1): the module 'nothing_of_the_kind'"),
        ("x = 1\n1 / 0", "(line 2): ZeroDivisionError: division by zero"),
        ("x = 1\nx = = 2", "(line 2): SyntaxError: invalid syntax;"),
        ("from retinue_sdk import Gone", "(line 1): ImportError: cannot import name 'Gone'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_told_with_its_place_once(
    invoke: Invoke, tmp_path: Path, code: str, told: str
) -> None:
    path = tmp_path / "plugins" / "broken.py"
    path.write_text(code)
    said = invoke("plugins", "broken")
    assert said.exit_code == 2
    assert said.stderr.startswith(f"error: plugin {path} cannot be loaded {told}")
    assert said.stderr.count("broken.py") == (2 if "remove" in said.stderr else 1)
    assert said.stderr.count("line") == 1


def test_check_outlives_a_detector_that_hangs_with_pythons_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "MAX_LOST", 1)  # each costs the whole silence
    request = CheckRequest("hostile-crashes", {"how": "hang-in-c"}, None, timeout_seconds=1)
    report = check_detector(request, on_made=print, on_result=print, silence_seconds=9)
    [failed] = [result for result in report.results if result.outcome == "failed"]
    assert "it was silent for 10 seconds" in failed.message


def test_check_says_that_a_plugin_ends_the_process_that_loads_it(
    invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "plugins/exits.py").write_text("import os\nos._exit(9)\n")
    said = invoke("plugins", "check", "left-half")
    assert said.exit_code == 2
    assert "makes left-half is gone: it exited with status 9" in said.output


BY_REFERENCE = '''
"""Has S3 tell a size."""
import boto3
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Sizes(Detector[DetectorOptions]):
    """Has S3 tell a size."""
    name = "sizes"
    version = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def detect(self, images):
        s3 = boto3.client("s3")
        wanted = [image.reference for image in images]
        heads = [s3.head_object(Bucket=w.bucket, Key=w.key, VersionId=w.version_id) for w in wanted]
        return [Findings(raw_response=head["ContentLength"]) for head in heads]
'''


def test_check_lends_pictures_to_a_bucket_and_takes_them_back(
    aws: AwsEndpoint, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="lent-to-checks")
    versioning: Any = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="lent-to-checks", VersioningConfiguration=versioning)
    (tmp_path / "plugins/sizes.py").write_text(BY_REFERENCE)
    check = ["plugins", "check", "sizes", "--memory-images", 0]
    said = invoke(*check, "--bucket", "lent-to-checks")
    assert "passed  answers-complete" in said.output
    assert "passed  restart" in said.output
    assert "works by reference" not in said.output
    assert not s3.list_object_versions(Bucket="lent-to-checks").get("Versions")
    assert "failed  answers-complete" in invoke(*check).output
    said = invoke(*check, "--bucket", "nobodys-bucket")
    assert said.exit_code == 2
    assert "--bucket nobodys-bucket: the pictures cannot be uploaded" in said.output
