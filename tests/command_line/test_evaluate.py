"""The measures are pycocotools' own on the same data; the rest is counting."""

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from retinue_cli.data.evaluation import collect
from retinue_cli.data.evaluation.sample import CocoAnnotation, Sample
from retinue_cli.data.evaluation.score import evaluate
from retinue_cli.data.export.images import SelectedImage, selected_images

Cli = Callable[..., Result]
LABELS = ("cat", "dog", "bird", "Bus")
SIZES = ((640, 480), (333, 500), (1920, 1080))


def world(
    seed_number: int, *, ties: bool, images: int = 30
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results: near boxes, wrong labels, crowds, doubles, equal scores."""
    dice = random.Random(seed_number)
    truth: dict[str, Any] = {
        "images": [],
        "categories": [{"id": 10 + place, "name": name} for place, name in enumerate(LABELS)],
        "annotations": [],
    }
    results = []
    for number in dice.sample(range(1, 1_000), images):
        width, height = dice.choice(SIZES)
        truth["images"].append(
            {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}
        )
        for _ in range(dice.randrange(6)):
            label = dice.randrange(len(LABELS) - 1)
            wide, high = dice.randrange(8, width // 2), dice.randrange(8, height // 2)
            left, top = dice.randrange(width - wide), dice.randrange(height - high)
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 10 + label,
                    "bbox": [left, top, wide, high],
                    "area": round(wide * high * 0.7, 2),
                    "iscrowd": int(dice.random() < 0.1),
                }
            )
            for _ in range(dice.choice((0, 1, 1, 1, 2))):
                if dice.random() < 0.2:
                    label = dice.randrange(len(LABELS))
                shift = round(dice.choice((0, 0, wide / 10, wide / 3)), 2)
                near = [
                    round(max(left - shift, 0), 2),
                    top,
                    wide,
                    round(high / dice.choice((1, 1, 2)), 2),
                ]
                results.append(
                    {
                        "image_id": number,
                        "category_id": 10 + label,
                        "bbox": near,
                        "score": dice.choice((dice.random(), 0.5)) if ties else dice.random(),
                    }
                )
    return truth, results


def reference(truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    """Pycocotools by itself, on the same two files."""
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = json.loads(json.dumps(truth))
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(json.loads(json.dumps(results))), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def bring_in(cli: Cli, seed: Any, truth: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Record the images and findings. The truth stays a file."""
    found: dict[int, list[Any]] = {image["id"]: [] for image in truth["images"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    for one in results:
        width, height = sizes[one["image_id"]]
        left, top, wide, high = one["bbox"]
        box = (left / width, top / height, wide / width, high / height)
        label = LABELS[one["category_id"] - 10].upper()
        found[one["image_id"]].append((label, one["score"], box))
    for number, items in found.items():
        seed.run(seed.image(f"{number}.jpg", size_px=sizes[number]), *items)
    Path("truth.json").write_text(json.dumps(truth), "utf-8")


@pytest.mark.parametrize(
    ("ties", "sources"),
    [
        (True, ["truth.json"]),
        # In the history images come in the order of their ids, which decides between equal scores.
        (False, ["truth.json", "ground-truth"]),
    ],
)
def test_equals_pycocotools(cli: Cli, seed: Any, ties: bool, sources: list[str]) -> None:
    truth, results = world(len(sources), ties=ties)
    bring_in(cli, seed, truth, results)
    expected = reference(truth, results)
    cli("import", "truth.json")
    for source in sources:
        answer = json.loads(cli("evaluate", "objects", "--ground-truth", source, "--json").stdout)
        overall = answer["overall"]
        names = ("ap", "ap50", "ap_small", "ap_medium", "ap_large")
        for name, place in zip(names, (0, 1, 3, 4, 5), strict=True):
            assert overall[name] == pytest.approx(expected.stats[place], abs=1e-6), (name, source)
        for place, label in enumerate(LABELS[:-1]):
            precision = expected.eval["precision"][:, :, place, 0, -1]
            assert answer["labels"][label]["ap"] == pytest.approx(precision.mean(), abs=1e-6)
            assert answer["labels"][label]["ap50"] == pytest.approx(precision[0].mean(), abs=1e-6)
    assert answer["task"] == "detection"
    assert answer["images"] == {
        "compared": 30, "not_seen_by_the_detector": 0, "not_in_the_history": 0,
        "not_marked_completely": 0, "drawn_at_random": 0,
    }  # fmt: skip


@pytest.fixture
def small(seed: Any) -> None:
    """Return two cats and a dog: one cat found, one confused, the dog missed; a bird invented."""
    first, second = seed.image("1.jpg"), seed.image("2.jpg")
    left, right = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)
    seed.run(first, ("cat", 1, left), ("cat", 1, right), detector="ground-truth")
    seed.run(second, ("dog", 1, left), detector="ground-truth")
    seed.run(seed.image("3.jpg"), ("bird", 1, left), detector="ground-truth")
    seed.run(first, ("Cat", 0.9, left), ("DOG", 0.8, right), ("cat", 0.1, right))
    seed.run(second, ("bird", 0.7, right), ("Weather", 0.99), ("dog", 0.95))


def test_only_images_of_the_truth_are_read(
    cli: Cli, small: None, seed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        seed.run(seed.image(f"other {number}.jpg"), ("cat", 0.9))
    read: list[str] = []

    def selected(*arguments: Any) -> Iterator[SelectedImage]:
        for image in selected_images(*arguments):
            read.append(image.reference.key)
            yield image

    monkeypatch.setattr(collect, "selected_images", selected)
    few = cli("evaluate", "objects", "--json").stdout
    assert sorted(read) == ["1.jpg", "2.jpg"]
    monkeypatch.setattr(collect, "MAX_IDS", 0)
    assert cli("evaluate", "objects", "--json").stdout == few
    assert len(read) == 2 + 5


def test_counts_and_confusion(cli: Cli, small: None) -> None:
    answer = json.loads(cli("evaluate", "objects", "--json").stdout)
    cat = answer["labels"]["cat"]
    assert (cat["ground_truths"], cat["predictions"], cat["true_positives"]) == (2, 1, 1)
    assert (cat["precision"], cat["recall"], cat["f1"]) == (1, 0.5, pytest.approx(2 / 3))
    assert (cat["best_f1"], cat["best_threshold"]) == (1, 0.05)
    overall = answer["overall"]
    assert (overall["ground_truths"], overall["predictions"], overall["true_positives"]) == (
        3,
        3,
        1,
    )
    assert overall["macro_f1"] == pytest.approx(1 / 3)
    assert answer["confusion"] == {
        "ground_truth": ["bird", "cat", "dog", None],
        "predicted": ["bird", "cat", "dog", None],
        "counts": [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]],
    }
    assert answer["left_out"] == {"detection without a box": 1}
    assert answer["labels_unknown_to_the_ground_truth"] == {"Weather": 1}
    assert answer["images"]["not_seen_by_the_detector"] == 1


def test_table_and_picture(cli: Cli, small: None) -> None:
    said = cli("evaluate", "objects", "--curves", "pr.png").stdout
    assert "objects against ground-truth: 2 images by detection" in said
    assert "not compared: 1 image of the ground truth without a successful run" in said
    assert "not compared: 1 detection without a box" in said
    assert "Weather (1)" in said
    assert "taken for" in said
    with Image.open("pr.png") as picture:
        assert picture.format == "PNG"
        colours = picture.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > 50, "nothing is drawn"


def test_labels_of_whole_images(cli: Cli, seed: Any) -> None:
    for number, (true, found, sure) in enumerate(
        [("cat", "Cat", 0.9), ("cat", "Dog", 0.8), ("dog", "Dog", 0.6), ("dog", "Dog", 0.3)]
    ):
        image = seed.image(f"{number}.jpg", size_px=None)
        seed.run(image, (true, 1.0), detector="ground-truth")
        seed.run(image, (found, sure), (found, sure / 2))
    answer = json.loads(cli("evaluate", "objects", "--json").stdout)
    assert answer["task"] == "classification"
    dog = answer["labels"]["dog"]
    assert (dog["ground_truths"], dog["predictions"], dog["true_positives"]) == (2, 2, 1)
    # Surest first: wrong, right, right. The best precision from each recall on is 2 of 3.
    assert dog["ap"] == pytest.approx(2 / 3)
    assert answer["labels"]["cat"]["ap"] == pytest.approx(51 / 101)  # half of the recalls
    assert answer["overall"]["ap_small"] is None, "nothing has a size"
    assert answer["confusion"]["counts"] == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    refused = cli("evaluate", "objects", "--task", "detection", exit_code=2).stderr
    assert "has no boxes" in refused


def test_a_manifest_is_ground_truth_too(cli: Cli, small: None) -> None:
    cli("export", "--format", "custom-labels-manifest", "--detector", "ground-truth", "t.manifest")
    of_file = cli("evaluate", "objects", "--ground-truth", "t.manifest", "--json").stdout
    of_runs = cli("evaluate", "objects", "--json").stdout
    assert json.loads(of_file)["overall"] == json.loads(of_runs)["overall"]
    said = cli("import", "t.manifest", "--name", "people").stdout
    assert said.startswith("3 images with 4 annotations: 3 new truths in people")
    again = cli("evaluate", "objects", "--ground-truth", "people", "--json").stdout
    assert json.loads(again)["confusion"] == json.loads(of_runs)["confusion"]


def test_what_cannot_be_scored_is_told(cli: Cli, small: None, seed: Any) -> None:
    def refused(*arguments: str) -> str:
        return " ".join(cli("evaluate", *arguments, exit_code=2).stderr.split())

    assert "the history has no runs of 'objecs' (did you mean 'objects'?)" in refused("objecs")
    assert "the history has no truth or successful run of that name" in refused(
        "objects", "--ground-truth", "nothing"
    )
    assert "did you mean 'cat'?" in refused("objects", "--map", "cta=Weather")
    assert "no label cow" in refused("objects", "--label", "cow")
    seed.run(seed.image("3.jpg"), ("Vogel", 0.9, (0.1, 0.1, 0.3, 0.3)), detector="german")
    assert "the detector found Vogel; the ground truth has bird, cat, dog" in refused("german")
    mapped = json.loads(cli("evaluate", "german", "--map", "bird=Vogel", "--json").stdout)
    assert mapped["overall"]["ap50"] == pytest.approx(1)

    Path("truth.manifest").write_text(
        "\n".join(
            json.dumps(
                {
                    "source-ref": "s3://photos/1.jpg",
                    "b": {
                        "image_size": [{"width": 640, "height": 480, "depth": 3}],
                        "annotations": [
                            {"class_id": number, "left": left, "top": 1, "width": 9, "height": 9}
                        ],
                    },
                    "b-metadata": {
                        "class-map": {"0": "cat"},
                        "type": "groundtruth/object-detection",
                    },
                }
            )
            for number, left in ((0, 700), (7, 1))
        ),
        "utf-8",
    )
    said = refused("objects", "--ground-truth", "truth.manifest")
    assert "1 × box outside its image: line 1, box 1: [700.0, 1.0, 9.0, 9.0]" in said
    assert "1 × class that the class-map does not have: line 2, box 1: 7" in said
    assert "image that is in the file twice" in said


def test_tables_keep_to_80_columns(cli: Cli, seed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    labels = ["skateboard", "traffic light", "refrigerator", "baseball bat", "hair drier", "person"]
    boxes = [(label, 0.9, (0.1, 0.1, 0.3, 0.3)) for label in labels]
    image = seed.image("a/rather/long/key/of/an/image.jpg")
    seed.run(image, *boxes, detector="ground-truth")
    seed.run(image, *boxes[:-1], ("dog", 0.9, (0.6, 0.6, 0.1, 0.1)))
    seed.run(seed.image("b.jpg"), detector="some-detector-of-ours", failed=True)
    for arguments, name in (
        (["evaluate", "objects"], "refrigerator"),
        (["diff", "ground-truth", "objects"], "refrigerator"),
        (["failures"], "some-detector-of-ours"),
        (["schema", "latest_runs"], "detector_version"),
    ):
        lines = [line.rstrip() for line in cli(*arguments).stdout.splitlines()]
        table = [line for line in lines if "  " in line or "──" in line]  # sentences have neither
        assert any(name in line for line in table)
        assert not any("…" in line for line in table)
        assert max(map(len, table)) <= 80, "\n".join(table)


def test_a_label_is_looked_for_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 labels in 300 images, pycocotools would look at 60,000 pairs in each of four sizes."""
    looks = []
    look = COCOeval.evaluateImg

    def counted(self: COCOeval, *arguments: Any) -> Any:
        looks.append(arguments)
        return look(self, *arguments)

    monkeypatch.setattr(COCOeval, "evaluateImg", counted)
    labels = [f"label {number}" for number in range(200)]
    samples = [Sample(f"{number}.jpg") for number in range(300)]
    for number, sample in enumerate(samples):
        sample.ground_truth.append(CocoAnnotation(labels[number % 200], (0, 0, 50, 50)))
        sample.predictions.append(CocoAnnotation(labels[number % 150], (0, 0, 50, 40), 0.9))
    result = evaluate(samples, labels)
    # The first 150 images are right; the others are found as what was 50 or 150 labels before.
    assert len(looks) == 4 * (150 + 150 * 2)
    assert (result.total.true_positives, result.total.predictions) == (150, 300)
