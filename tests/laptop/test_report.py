"""Test the report of a run for people and for programs."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from PIL import Image as Pillow
from retinue_cli.local.findings import Outcome
from retinue_cli.local.photographs import Photograph
from retinue_cli.local.progress import Done
from retinue_cli.local.report import (
    PhotographResult,
    UnreadFile,
    print_failures,
    print_findings,
    print_totals,
    print_truncated,
    write_csv,
    write_json,
)
from retinue_cli.output.draw import paint
from retinue_sdk import BoundingBox, Detection, ImageLimits
from retinue_sdk.image import WHOLE
from retinue_sdk.masks import encode_mask
from rich.console import Console

LOG = Path("worker.log")


def outcome(detector: str, *labels: str, **fields: Any) -> Outcome:
    given = {
        "outcome": "succeeded",
        "model_version": None,
        "error_code": None,
        "error_message": None,
        "truncated": False,
    } | fields
    attributes = given.pop("attributes", {})
    findings = tuple(Detection("label", label, 0.75, None, attributes) for label in labels)
    return Outcome(
        image_id=uuid4(),
        detector=detector,
        detector_version="3",
        findings=findings,
        price_usd=Decimal(0),
        **given,
    )


def failed(detector: str, code: str, message: str) -> Outcome:
    return outcome(detector, outcome="failed", error_code=code, error_message=message)


def result(key: str, *outcomes: Outcome) -> PhotographResult:
    return PhotographResult(Photograph(Path("/photos") / key, key), outcomes)


def said(
    results: list[PhotographResult],
    unread: list[UnreadFile] | None = None,
    *,
    everything: bool = False,
    raised: bool = False,
    width: int = 100,
) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False)
    print_findings(console, results, unread or [], everything=everything)
    print_totals(console, results, Done(new=len(results), known=0), 1.0)
    tracebacks = {"x": '  File "x.py", line 1\nTypeError: [no]'} if raised else {}
    print_failures(console, results, unread or [], LOG, tracebacks, everything=everything)
    print_truncated(console, results, everything=everything)
    return file.getvalue()


def test_a_skip_is_neither_a_finding_nor_a_failure() -> None:
    skip = outcome(
        "b", outcome="skipped", error_code="skipped_by_findings", error_message="a found no cat"
    )
    text = said([result("tom.jpg", outcome("a", "dog"), skip)])
    assert "skipped: a found no cat" in text
    assert "1 image, 1 run, 1 detection, 1 run skipped by routes in 1.0 s" in text
    assert "fail" not in text
    assert "worker.log" not in text


def test_few_images_are_listed_with_attributes_and_models() -> None:
    read = outcome("ocr", "text", attributes={"text": "EXIT\x1b", "lines": [1]}, model_version="v7")
    text = said([result("sign.jpg", read)], [UnreadFile("locked.jpg", "no permission to read it")])
    assert [line.split() for line in text.splitlines() if "ocr" in line] == [
        ["sign.jpg", "ocr", "text", "0.75", "text", "EXIT\N{REPLACEMENT CHARACTER}"],
        ["ocr", "version", "3,", "model", "v7"],
    ]
    assert "locked.jpg" in text
    assert "not read: no permission to read it" in text


def test_files_of_which_a_part_was_seen_are_named() -> None:
    part, whole = outcome("a", "dog", truncated=True), outcome("a", "dog")
    text = said([result("half.mp4", part, whole), result("whole.mp4", whole)])
    assert text.split("truncated, 1 file")[1].split("\n")[2:] == ["    half.mp4", ""]
    assert "truncated" not in said([result("whole.mp4", whole)])


def test_names_are_folded_between_words() -> None:
    long = outcome("objects", "person", attributes={"text": "a sentence that needs a line"})
    text = said([result("holidays/VID_20240714-beach.mp4", long)], width=80)
    assert _first_cells(text)[:2] == ["holidays/VID_", "20240714-beach.mp4"]
    assert "x" * 30 in "".join(_first_cells(said([result("x" * 30, long)], width=60)))


def _first_cells(text: str) -> list[str]:
    return [line[1:].split(" ")[0] for line in text.splitlines()[3:]]


def test_many_images_are_counted_by_label_and_listed_if_wanted() -> None:
    results = [result(f"{n:02}.jpg", outcome("a", "cat", "cat"), outcome("b")) for n in range(20)]
    results += [result("dog.jpg", outcome("a", "dog"), failed("b", "broken", "It broke."))]
    text = " ".join(said(results).split())
    assert "a cat 20 40 00.jpg, 01.jpg, 02.jpg" in text
    assert "dog 1 1 dog.jpg" in text
    assert "b nothing found 20 00.jpg, 01.jpg, 02.jpg" in text
    assert "failed 1 dog.jpg" in text
    everything = said(results, everything=True)
    assert all(f"{n:02}.jpg" in everything for n in range(20))
    assert said(results[:20]).count("cat") == 40


def test_each_failed_file_is_named_by_cause() -> None:
    results = [
        result("a.pdf.jpg", *(failed(d, "unsupported_format", "not readable") for d in "xy")),
        result("b.jpg", outcome("x"), failed("y", "unsupported_format", "not readable")),
        result("c.jpg", failed("x", "too_many_pixels", "9 × 9"), outcome("y")),
    ]
    text = said(results, [UnreadFile("d.jpg", "no permission")])
    assert text[text.index("\nunsupported_format") :].splitlines() == [
        *("", "unsupported_format, 2 files", "  not readable", "    a.pdf.jpg", "    b.jpg (y)"),
        *("", "not read, 1 file", "  no permission", "    d.jpg"),
        *("", "too_many_pixels, 1 file", "  9 × 9", "    c.jpg (x)"),
        "The worker's log: worker.log",
    ]
    many = [result(f"{n:02}.jpg", failed("x", "empty_file", "empty")) for n in range(12)]
    assert "… and 2 more: --all names them" in said(many)
    assert "11.jpg" in said(many, everything=True)


def test_examples_show_the_end_of_their_names() -> None:
    keys = ["photos of a long holiday/IMG_0001.jpg", "z.jpg"]
    results = [result(key, outcome("a", "cat")) for key in keys] + [result("c", outcome("a"))] * 20
    [line] = [line for line in said(results, width=60).splitlines() if "cat" in line]
    assert line.rstrip().endswith(" …G_0001.jpg")
    [line] = [line for line in said(results, width=110).splitlines() if "cat" in line]
    assert line.rstrip().endswith(" photos of a long holiday/IMG_0001.jpg, z.jpg")


def test_many_images_take_a_line_for_each_label() -> None:
    long = "x" * 90
    text = said([result(f"{long}/{n:02}.jpg", outcome("a", "cat")) for n in range(21)])
    [line] = [line for line in text.splitlines() if long[:20] in line]
    assert line.split()[:4] == ["a", "cat", "21", "21"]
    assert max(map(len, text.splitlines())) <= 100


def test_a_detector_that_raised_is_shown_its_own_code() -> None:
    text = said([result("a.jpg", failed("x", "unexpected_error", "TypeError: [no]"))], raised=True)
    assert text.splitlines()[-5:] == [
        *("", "x raised:", '  File "x.py", line 1', "TypeError: [no]"),
        "The worker's log: worker.log",
    ]


def test_programs_read_everything() -> None:
    boxed = Detection("face", "Face", 0.5, BoundingBox(0.1, 0.2, 0.3, 0.4), {"age": 3})
    found = outcome("a", "cat")
    results = [
        result("t,om.jpg", Outcome(**{**_fields(found), "findings": (boxed, *found.findings)})),
        result("bad.jpg", failed("a", "empty_file", "the file is empty")),
    ]
    unread = [UnreadFile("locked.jpg", "no permission")]
    file = io.StringIO()
    write_json(file, results, unread)
    first, second, third = json.loads(file.getvalue())
    assert (first["key"], first["path"]) == ("t,om.jpg", "/photos/t,om.jpg")
    assert [one["label"] for one in first["runs"][0]["detections"]] == ["Face", "cat"]
    assert first["runs"][0]["detections"][0] == {
        "kind": "face",
        "label": "Face",
        "confidence": 0.5,
        "attributes": {"age": 3},
        "box_left": 0.1,
        "box_top": 0.2,
        "box_width": 0.3,
        "box_height": 0.4,
        "start_ms": None,
        "end_ms": None,
        "track": None,
    }
    assert second["runs"][0]["error_code"] == "empty_file"
    assert third == {"key": None, "path": "locked.jpg", "error": "no permission", "runs": []}

    file = io.StringIO()
    write_csv(file, results, unread)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [(row["key"], row["label"], row["outcome"]) for row in rows] == [
        ("t,om.jpg", "Face", "succeeded"),
        ("t,om.jpg", "cat", "succeeded"),
        ("bad.jpg", "", "failed"),
        ("", "", "not read"),
    ]
    assert json.loads(rows[0]["attributes"]) == {"age": 3}


def _fields(of: Outcome) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Outcome.__slots__}


def test_masks_and_body_points_are_drawn(tmp_path: Path) -> None:
    picture = Pillow.new("RGB", (400, 200), "white")
    picture.save(tmp_path / "white.png")
    half = encode_mask(np.array([[True, False]]))
    points = [
        {"type": "left_shoulder", "x": 0.6, "y": 0.5, "confidence": 0.9},
        {"type": "right_shoulder", "x": 0.9, "y": 0.5, "confidence": 0.9},
        {"type": "nose", "x": 0.75, "y": 0.2, "confidence": 0.01},
        {"type": "left_hip", "x": "left"},
        None,
    ]
    found = [
        Detection("segment", "a", 1.0, WHOLE, {"mask": half}),
        Detection("pose", "b", 1.0, WHOLE, {"keypoints": points}),
        Detection("label", "c", 1.0, WHOLE, {"mask": {"size": 1}, "keypoints": 2}),
        Detection("text", "d", 1.0, BoundingBox(0.8, 0.7, 0.1, 0.1), {"Type": "WORD"}),
    ]
    drawn = paint((tmp_path / "white.png").read_bytes(), found, ImageLimits())
    assert drawn.getpixel((80, 150)) != (255, 255, 255)  # tinted
    assert drawn.getpixel((320, 150)) == (255, 255, 255)
    assert drawn.getpixel((300, 100)) != (255, 255, 255)  # between the shoulders
    assert drawn.getpixel((300, 40)) == (255, 255, 255)  # the nose is hidden
    assert drawn.getpixel((340, 140)) == (255, 255, 255)  # its line is drawn, not a word


def test_labels_of_a_dense_page_hide_no_text() -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (400, 400), "white").save(file, "PNG")
    lines = [
        Detection("text", f"line {n}", 0.9, BoundingBox(0.05, n / 10, 0.9, 0.09)) for n in range(10)
    ]

    def is_labelled(found: list[Detection]) -> list[bool]:
        """Return for each line whether something is drawn in it, apart from its frame."""
        drawn = np.asarray(paint(file.getvalue(), found, ImageLimits()))
        return [bool((drawn[40 * n + 8 : 40 * n + 28, 30:120] != 255).any()) for n in range(10)]

    assert not any(is_labelled(lines))
    assert is_labelled([lines[5]]) == [n == 4 for n in range(10)], "there is room above it"
