"""Rekognition's detectors on a laptop without an account: answered, and never as Amazon's."""

from collections.abc import Callable

from acceptance.command_line import CommandLine
from click.testing import Result


def test_rekognition_on_a_laptop_says_whose_answers_these_are(
    retinue: CommandLine, history: None, invoke: Callable[..., Result]
) -> None:
    said = " ".join(
        invoke("run", "--detectors", "rekognition-labels,rekognition-faces").stdout.split()
    )
    warning = (
        "rekognition-labels, rekognition-faces: these answers are not Amazon Rekognition's. "
        "`retinue run` never calls AWS; an emulator answers. It recognises nothing"
    )
    assert said.count(warning) == 1
    assert said.count("rekognition-faces: invented by an emulator") == 1  # under the answers
    assert "5 images, 10 runs" in said
    runs = retinue.query(
        "select outcome, model_version, raw_response->>'Emulator' as mark, detector from runs"
    )
    assert [run["outcome"] for run in runs] == ["succeeded"] * 10
    assert {run["mark"] for run in runs} == {
        "invented by Retinue's emulator, not by Amazon Rekognition"
    }
    assert {(run["detector"], run["model_version"]) for run in runs} == {
        ("rekognition-labels", "emulator"),
        ("rekognition-faces", "emulator"),
    }
    assert "in detection_history, but not in latest_detections" in said
    assert retinue.query("select * from latest_detections") == []
    assert len(list((retinue.folder / ".retinue" / "annotated").iterdir())) == 5
    assert retinue.processes() == []


def test_an_endpoint_of_ones_own_replaces_the_emulator(
    retinue: CommandLine, history: None, invoke: Callable[..., Result]
) -> None:
    photo = retinue.folder / "a.jpg"
    photo.write_bytes(b"no image")
    options = '{"rekognition-labels": {"endpoint_url": "http://127.0.0.1:9", "send": "bytes"}}'
    done = invoke("run", str(photo), RETINUE_DETECTORS=options)
    assert "emulator" not in done.stdout
    assert "unsupported_format" in done.stdout
