"""Classifiers of boxes: learned from corrected boxes of a detector, and run on its boxes."""

import io
import json
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fakes.events import BUCKET
from fakes.rig import Rig
from PIL import Image, ImageOps
from retinue_cli.local import AwsEndpoint
from retinue_history import ConnectionPool, History
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_sdk import ConfigurationError, Findings
from retinue_sdk import Image as SdkImage
from retinue_sdk.plugins.manager import Plugins

Cli = Callable[..., Result]
CAT = Path(str(resources.files("retinue_cli"))) / "local/samples/cat.jpg"


def scene(*cats: tuple[int, int, bool], width: int = 280) -> bytes:
    """Return a picture of cats; each has a left, a top, and is grey or not."""
    picture = Image.new("RGB", (640, 320), "#7a8a6a")
    with Image.open(CAT) as photograph:
        cat = photograph.convert("RGB").resize(
            (width, width * photograph.height // photograph.width)
        )
    for left, top, grey in cats:
        picture.paste(ImageOps.grayscale(cat).convert("RGB") if grey else cat, (left, top))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_classifier_of_boxes_runs_on_a_detectors_boxes(
    cli: Cli, history: str, aws: AwsEndpoint
) -> None:
    files = {
        f"{number}.png": scene((20 + 25 * number, 10 * (number % 5), bool(number % 2)))
        for number in range(10)
    }
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    with closing(ConnectionPool(history)) as pool:
        rig = Rig(History(pool), url=history)
        rig.plugins = Plugins()
        for name, data in files.items():
            s3.put_object(Bucket=BUCKET, Key=name, Body=data)
            rig.upload(name, data)
        rig.work_off({"onnx-objects": {}})

        # People change the labels of the boxes, and import them.
        cli("export", "found.json", "--detector", "onnx-objects")
        found = json.loads(Path("found.json").read_text("utf-8"))
        names = {one["id"]: one["file_name"].rpartition("/")[2] for one in found["images"]}
        assert {one["name"] for one in found["categories"]} == {"cat"}
        found["categories"] = [{"id": 1, "name": "ginger"}, {"id": 2, "name": "grey"}]
        for one in found["annotations"]:
            one["category_id"] = 1 + int(names[one["image_id"]].partition(".")[0]) % 2
        Path("corrected.json").write_text(json.dumps(found), "utf-8")
        cli("import", "corrected.json")
        cli("export", "truth.json", "--truth", "ground-truth")
        train = "models", "train", "cats", "--on", "local", "--from", "truth.json", "--crops"
        cli(*train)

        # A worker runs the model, without any other option, and records the boxes.
        rig.upload("two.png", scene((10, 40, False), (330, 40, True)))
        model = {"model": str(Path("models/cats/1/model.onnx").absolute())}
        rig.work_off({"onnx-objects": {}, "onnx-labels": model})
        rows = rig.rows(
            "SELECT detector, label, box_left, box_top, box_width, box_height, model_version "
            "FROM latest_detections WHERE key = 'two.png' ORDER BY detector, box_left"
        )
    ginger, grey, *objects = rows
    assert [one["label"] for one in rows] == ["ginger", "grey", "cat", "cat"]
    place = "box_left", "box_top", "box_width", "box_height"
    for crop, seen in zip((ginger, grey), objects, strict=True):
        assert [crop[side] for side in place] == [seen[side] for side in place]
        assert crop["model_version"].startswith("cats-1-")


@pytest.fixture(scope="module")
def cat() -> SdkImage:
    """Return a picture of a cat, which is not all of it."""
    return SdkImage.from_bytes(scene((200, 40, False)))


def found(image: SdkImage, **options: Any) -> Findings:
    """Return what ``onnx-labels`` finds."""
    detector = OnnxLabelDetector(OnnxLabelOptions(**options))
    detector.start()
    (result,) = detector.detect([image])
    detector.close()
    assert isinstance(result, Findings)
    return result


def test_boxes_of_chosen_labels_are_looked_at(cat: SdkImage) -> None:
    objects = ObjectDetector(ObjectOptions())
    objects.start()
    (seen,) = objects.detect([cat])
    assert isinstance(seen, Findings)
    boxes = {one.box for one in seen.detections if one.label == "cat"}
    inside = found(cat, boxes=True, boxes_of=["cat"], threshold=0.1)
    assert "cat" in {one.label for one in inside.detections}
    assert {one.box for one in inside.detections} == boxes
    sure = [one.confidence for one in inside.detections]
    assert sure == sorted(sure, reverse=True)
    assert inside.raw_response == {"boxes of": objects.model_version, "boxes": 1}
    assert found(cat, boxes=True, boxes_of=["dog"]).detections == ()
    assert found(cat, boxes=True, objects={"threshold": 0.99}).detections == ()
    assert {one.box for one in found(cat, threshold=0.01).detections} == {None}


def test_options_that_dont_fit_are_refused() -> None:
    for options, message in (
        ({"boxes_of": ("cat",)}, "option boxes_of: the model labels whole images"),
        ({"objects": {}}, "option objects: the model labels whole images"),
        ({"boxes": True, "embedding": True}, "option embedding: vectors are of whole images"),
        ({"boxes": True, "boxes_of": ("cta",)}, "the boxes have no label cta; their labels are pe"),
    ):
        detector = OnnxLabelDetector(OnnxLabelOptions(**options))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=message):
            detector.start()


def test_what_finds_the_boxes_is_in_the_fingerprint(tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return OnnxLabelDetector(OnnxLabelOptions(**options)).fingerprint()

    bundled = Path(str(resources.files("retinue_onnx"))) / "models/nanodet.onnx"
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(bundled.read_bytes())
    other = tmp_path / "other.onnx"
    other.write_bytes(copy.read_bytes() + b" ")
    usual = fingerprint(boxes=True)
    assert fingerprint(boxes=True, objects={"model": copy}) == usual
    assert fingerprint(boxes=True, objects={"threads": 1}) == usual
    changed = [{"model": other}, {"threshold": 0.3}, {"labels": ["a"]}]
    others = {fingerprint(boxes=True, objects=one) for one in changed}
    assert len(others | {usual, fingerprint(), fingerprint(boxes=False)}) == 6
