"""Models side by side: the arithmetic, and the command on photographs."""

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import click.testing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from retinue_cli.app import retinue
from retinue_cli.data.evaluation.bootstrap import estimates
from retinue_cli.data.evaluation.sample import CocoAnnotation, Sample
from retinue_cli.data.evaluation.score import evaluate, outcomes
from retinue_rekognition_emulator import Endpoint

LABELS = ["a", "b", "c"]


def items(confidence: st.SearchStrategy[float]) -> st.SearchStrategy[list[CocoAnnotation]]:
    place = st.sampled_from([(0.0, 0.0, 10.0, 10.0), (2.0, 0.0, 10.0, 10.0), (40.0, 9.0, 5.0, 5.0)])
    return st.lists(
        st.builds(CocoAnnotation, st.sampled_from(LABELS), place, confidence), max_size=4
    )


confidences = st.integers(1, 9).map(lambda tenth: tenth / 10)
some = st.builds(Sample, st.just("x.jpg"), items(st.just(1.0)), items(confidences))


@settings(deadline=None, max_examples=25)
@given(st.lists(some, min_size=1, max_size=5))
def test_values_are_those_of_evaluate(given_samples: list[Sample]) -> None:
    found = estimates(LABELS, outcomes(given_samples, LABELS), [0.5] * 3, seed=1)
    expected = evaluate(given_samples, LABELS, threshold=0.5)
    known = {one.label: one for one in expected.labels if one.ground_truths}
    assert [one.label for one in found] == [*known, "mean"]
    for one in found[:-1]:
        assert one.ap50.value == pytest.approx(known[one.label].ap50)
        assert one.f1.value == pytest.approx(known[one.label].f1)
        assert one.ap50.low <= one.ap50.high
    if known:
        assert found[-1].ap50.value == pytest.approx(expected.ap50)
        assert found[-1].f1.value == pytest.approx(expected.macro_f1)


def test_intervals_shrink_with_more_images_and_repeat_with_the_seed() -> None:
    box = (0.0, 0.0, 10.0, 10.0)

    def width(images: int) -> float:
        random = np.random.default_rng(0)
        each = [
            Sample(
                "x.jpg",
                [CocoAnnotation("a", box)],
                [CocoAnnotation("a", box, 0.9)] if random.random() < 0.7 else [],
            )
            for _ in range(images)
        ]
        first, again = (estimates(["a"], outcomes(each, ["a"]), [0.5], seed=4) for _ in range(2))
        assert first == again
        assert first[0].f1.low < first[0].f1.value < first[0].f1.high
        return first[0].f1.high - first[0].f1.low

    assert width(10) > 1.5 * width(60)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Return a COCO file of two photographs of the laptop's samples."""
    home = Path(str(resources.files("retinue_cli"))) / "local/samples"
    boxes = {"cat.jpg": ("cat", (0, 0, 0.88, 1)), "coffee.jpg": ("cup", (0.29, 0.04, 0.5, 0.8))}
    images, annotations = [], []
    for number, (name, (label, box)) in enumerate(boxes.items(), 1):
        (tmp_path / name).write_bytes((home / name).read_bytes())
        with Image.open(tmp_path / name) as picture:
            width, height = picture.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        bbox = [box[0] * width, box[1] * height, box[2] * width, box[3] * height]
        category = ["cat", "cup"].index(label) + 1
        annotations.append(
            {"id": number, "image_id": number, "category_id": category, "bbox": bbox}
        )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cup"}]
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


@pytest.fixture
def run(truth: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., click.testing.Result]:
    monkeypatch.chdir(truth.parent)

    def invoke(*arguments: str) -> click.testing.Result:
        command = ["models", "compare", *arguments, "--ground-truth", "truth.json"]
        return click.testing.CliRunner().invoke(retinue, command)

    return invoke


def test_a_version_and_a_detector_are_compared(
    run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    version = tmp_path / "models/pets/1"
    version.mkdir(parents=True)
    bundled = Path(str(resources.files("retinue_onnx"))) / "models/nanodet.onnx"
    (version / "model.onnx").write_bytes(bundled.read_bytes())
    labels = [{"label": "cat", "threshold": 0.999}, {"label": "cup", "threshold": 0.1}]
    card = {"version": 1, "kind": "objects", "f1": 0.5, "labels": labels}
    (version / "card.json").write_text(json.dumps(card))
    result = run("pets", "onnx-objects", "--page", "page.html", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    pets, objects = told["models"]
    assert (pets["name"], objects["name"]) == ("pets/1", "onnx-objects")
    scores = {
        (one["name"], label["label"]): (label["ap50"]["value"], label["f1"]["value"])
        for one in told["models"]
        for label in one["labels"]
    }
    # The version's thresholds decide F1, and not AP.
    assert scores["pets/1", "cat"] == (1, 0)
    assert scores["onnx-objects", "cat"] == (1, 1)
    assert scores["pets/1", "cup"][0] == scores["onnx-objects", "cup"][0] == 1
    assert float(pets["usd_per_1000"]) == 0
    assert pets["images_per_second"] > 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<img") in {2, 4}  # the cat, and perhaps the cup
    assert "cat.jpg" in page


def test_own_models_and_amazons_are_in_one_table(
    run: Callable[..., click.testing.Result],
    cli: Callable[..., click.testing.Result],
    endpoint: Endpoint,
) -> None:
    versions = endpoint.operations.versions
    versions.start_seconds = 0
    version = versions.add("pets", "v1")
    version.labels = ("cat", "cup")
    arn = version.arn
    names = "onnx-labels", arn, "rekognition-labels"
    options = "--map", "cat=Person", "--page", "page.html"  # Amazon's emulator invents its labels

    refused = run(*names, *options)
    assert refused.exit_code == 1
    assert "pets/v1 (Custom Labels): no image could be processed, such as cat.jpg: " in (
        refused.output
    )
    versions.start(arn, 1)
    shown = run(*names, *options)
    assert shown.exit_code == 0, shown.output
    assert "The price of Custom Labels is that of hosting at this speed." in shown.output
    told = json.loads(run(*names, *options, "--json").stdout)
    own, custom, amazon = told["models"]
    assert [one["failed"] for one in told["models"]] == [0, 0, 0]
    assert [one["name"] for one in (own, custom)] == ["onnx-labels", "pets/v1 (Custom Labels)"]
    assert own["labels"][-1]["f1"]["value"] == 1
    assert amazon["labels"][0]["f1"]["value"] == pytest.approx(2 / 3), "Person in both pictures"
    assert float(own["usd_per_1000"]) == 0
    assert float(amazon["usd_per_1000"]) == pytest.approx(1)
    minutes = 1000 / custom["images_per_second"] / 60
    assert float(custom["usd_per_1000"]) == pytest.approx(4 / 60 * minutes, rel=0.01)
    assert endpoint.calls["DetectCustomLabels"] == endpoint.calls["DetectLabels"] == 4
    page = Path("page.html").read_text("utf-8")
    assert page.count("<img") % 3 == 0
    assert "pets/v1 (Custom Labels)" in page


def test_without_boxes_labels_of_whole_images_are_compared(
    run: Callable[..., click.testing.Result],
) -> None:
    result = run("onnx-objects", "onnx-labels")
    assert result.exit_code == 0, result.output
    assert "No boxes are compared, because onnx-labels reports none." in result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [("pets/1", "models has no model pets"), ("onnx-object", "onnx-objects")],
)
def test_unknown_names_are_refused(
    run: Callable[..., click.testing.Result], name: str, message: str
) -> None:
    result = run(name)
    assert result.exit_code in {1, 2}
    assert message in result.output
