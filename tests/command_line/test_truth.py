"""Ground truth outlives detections, and says what it was looked for."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history.db.connections import connect
from retinue_history.review.truth import Scope, Truth, TruthItem, truth_of
from retinue_sdk.masks import encode_mask
from sqlalchemy import Engine, text

Cli = Callable[..., Result]
LEFT, RIGHT = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)


def coco(*found: tuple[str, str, tuple[float, ...]], labels: str = "") -> str:
    """Return a file of the images ``1.jpg`` and ``2.jpg``, whose boxes are ratios."""
    names = ["1.jpg", "2.jpg"]
    categories = sorted({label for _, label, _ in found} | set(labels.split()))
    return json.dumps(
        {
            "images": [
                {"id": n, "file_name": name, "width": 640, "height": 480}
                for n, name in enumerate(names)
            ],
            "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
            "annotations": [
                {
                    "id": n,
                    "image_id": names.index(name),
                    "category_id": categories.index(label),
                    "bbox": [box[0] * 640, box[1] * 480, box[2] * 640, box[3] * 480],
                }
                for n, (name, label, box) in enumerate(found)
            ],
        }
    )


def drop_months(engine: Engine) -> None:
    """Drop months past their retention, as ``retinue maintain`` does."""
    with engine.begin() as connection:
        months = connection.scalars(text("SELECT partition FROM detections_partitions()")).all()
        for month in months:
            connection.execute(text(f"DROP TABLE {month}"))
        connection.execute(text("DELETE FROM detections_default"))


def test_truth_survives_the_months_of_detections(cli: Cli, seed: Any, engine: Engine) -> None:
    first, second = seed.image("1.jpg"), seed.image("2.jpg")
    seed.run(second, ("dog", 0.9, LEFT), detector="older")
    Path("truth.json").write_text(coco(("1.jpg", "cat", LEFT), ("2.jpg", "dog", LEFT)), "utf-8")
    cli("import", "truth.json")
    drop_months(engine)
    seed.run(first, ("cat", 0.9, LEFT))
    seed.run(second, ("dog", 0.9, LEFT))

    scored = json.loads(cli("evaluate", "objects", "--json").stdout)
    assert scored["overall"]["f1"] == 1
    assert "2 detections kept, 0 gained, 0 lost" in cli("diff", "ground-truth", "objects").stdout
    cli("export", "--truth", "ground-truth", "again.json")
    exported = json.loads(Path("again.json").read_text("utf-8"))
    assert len(exported["annotations"]) == 2

    # Of a run whose detections were dropped nothing is known; it is no run that found nothing.
    gone = cli("evaluate", "older", exit_code=2).stderr
    assert "this detector has no successful run" in gone
    assert (
        "no image has been processed by both sides"
        in cli("diff", "older", "objects", exit_code=1).stderr
    )
    said = cli("export", "--detector", "older", "nothing.json").stderr
    assert "wrote 0 detections in 0 images" in said


@pytest.fixture
def looked_for_cats(cli: Cli, seed: Any) -> None:
    """People looked for cats and dogs, and marked a cat; a detector found more."""
    image = seed.image("1.jpg")
    seed.image("2.jpg")
    seed.run(image, ("cat", 0.9, LEFT), ("cat", 0.8, RIGHT), ("fox", 0.9, RIGHT))
    Path("truth.json").write_text(coco(("1.jpg", "cat", LEFT), labels="dog"), "utf-8")


@pytest.mark.usefixtures("looked_for_cats")
def test_outside_the_scope_nothing_is_right_or_wrong(cli: Cli) -> None:
    cli("import", "truth.json")
    scored = json.loads(cli("evaluate", "objects", "--json").stdout)
    assert (scored["overall"]["precision"], scored["overall"]["recall"]) == (0.5, 1)
    assert scored["labels_unknown_to_the_ground_truth"] == {"fox": 1}
    compared = cli("diff", "ground-truth", "objects").stdout
    assert "1 detections kept, 1 gained, 0 lost" in compared
    assert "1 unknown: the other side did not look for them" in compared


@pytest.mark.usefixtures("looked_for_cats")
def test_what_is_not_marked_in_an_incomplete_truth_is_unknown(cli: Cli) -> None:
    cli("import", "truth.json", "--incomplete")
    scored = json.loads(cli("evaluate", "objects", "--json").stdout)
    assert (scored["overall"]["precision"], scored["overall"]["recall"]) == (1, 1)
    assert scored["overall"]["ap50"] == pytest.approx(1)
    assert scored["images"]["not_marked_completely"] == 1
    said = cli("evaluate", "objects").stdout
    assert "not everything is marked in 1 image: a finding there that matches nothing" in said
    compared = cli("diff", "objects", "ground-truth", "--json").stdout
    changes = [one["change"] for one in json.loads(compared)["images"][0]["detections"]]
    assert sorted(changes) == ["kept", "unknown", "unknown"]
    left_out = cli("export", "t.manifest", "--truth", "ground-truth").stderr
    assert "left out: 2 images in which not everything is marked" in left_out


def test_a_finding_that_people_rejected_is_wrong(cli: Cli, seed: Any, engine: Engine) -> None:
    image = seed.image("1.jpg")
    seed.run(image, ("cat", 0.9, LEFT), ("cat", 0.8, RIGHT), ("cat", 0.7, (0.1, 0.6, 0.2, 0.2)))
    items = [
        {"kind": "label", "label": "cat", "box": LEFT},
        {"kind": "label", "label": "cat", "box": RIGHT, "present": False},
    ]
    truth = {"exhaustive": False, "made_by": "people", "items": items, "propensity": 0.5}
    with engine.begin() as connection:
        connection.execute(
            text("SELECT save_truth(:image, 'pets', 'review', CAST(:truth AS jsonb))"),
            {"image": image.image_id, "truth": json.dumps(truth)},
        )
    asked = ("evaluate", "objects", "--ground-truth", "pets")
    scored = json.loads(cli(*asked, "--json", "--audit").stdout)["overall"]
    assert (scored["predictions"], scored["true_positives"]) == (2, 1), "the third is unknown"
    assert "all images were drawn at random: the measures are unbiased" in cli(*asked).stdout
    with engine.begin() as connection:
        connection.execute(text("UPDATE truths SET propensity = NULL"))
    assert "biased: 1 of 1 images were not chosen at random" in cli(*asked).stdout
    assert "no image of pets was drawn at random" in cli(*asked, "--audit", exit_code=2).stderr


def test_an_unknown_truth_is_told(cli: Cli, seed: Any) -> None:
    seed.run(seed.image("1.jpg"), ("cat", 0.9, LEFT))
    Path("truth.json").write_text(coco(labels="cat"), "utf-8")
    cli("import", "truth.json", "--name", "people", "--skip-unknown")
    refused = cli("export", "out.json", "--truth", "poeple", exit_code=2).stderr
    assert "the history has no truth 'poeple' (did you mean 'people'?)" in refused
    assert "query the view" in cli("export", "out.csv", "--truth", "people", exit_code=2).stderr


def test_accepted_masks_and_body_points_are_those_of_coco(
    cli: Cli, seed: Any, engine: Engine
) -> None:
    points = [{"type": "nose", "x": 0.5, "y": 0.25, "confidence": 0.9}]
    attributes = {
        "pose": {"keypoints": points},
        "segment": {"mask": encode_mask(np.array([[False, True]]))},
    }
    found = [TruthItem(kind, "person", LEFT, attributes=one) for kind, one in attributes.items()]
    image = seed.image("1.jpg", size_px=(640, 480))
    content = {"exhaustive": True, "made_by": "people", "items": [one.as_json() for one in found]}
    with engine.begin() as connection:
        connection.execute(
            text("SELECT save_truth(:image, 'q', 'review', CAST(:truth AS jsonb))"),
            {"image": image.image_id, "truth": json.dumps(content)},
        )
    cli("export", "out.json", "--truth", "q")
    file = json.loads(Path("out.json").read_text("utf-8"))
    pose, segment = sorted(file["annotations"], key=lambda one: str(one["retinue_kind"]))
    assert (pose["keypoints"], pose["num_keypoints"]) == ([320, 120, 2], 1)
    assert segment["segmentation"]["size"] == [480, 640]
    assert "mask" not in segment
    assert [one.get("keypoints") for one in file["categories"]] == [["nose"], None]
    cli("import", "out.json", "--name", "back")
    cli("export", "again.json", "--truth", "back")
    assert json.loads(Path("again.json").read_text("utf-8"))["annotations"] == file["annotations"]


NUMBERS = count()
WIDTH, HEIGHT = 640, 480
BOXES = st.tuples(
    st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, 99), st.integers(1, 99)
).map(
    lambda box: (
        box[0] / WIDTH,
        box[1] / HEIGHT,
        min(box[2], WIDTH - box[0]) / WIDTH,
        min(box[3], HEIGHT - box[1]) / HEIGHT,
    )
)
LABELS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5
)
ITEMS = st.builds(
    TruthItem,
    kind=st.sampled_from(["label", "face", "text"]),
    label=LABELS,
    box=st.one_of(st.none(), BOXES),
    present=st.booleans(),
    confidence=st.sampled_from([1.0, 0.5]),
    attributes=st.sampled_from([{}, {"note": "wet"}]),
)
TRUTHS = st.fixed_dictionaries(
    {
        "scope": st.builds(
            Scope,
            st.one_of(st.none(), st.just(("label", "face"))),
            st.one_of(st.none(), st.lists(LABELS, max_size=3, unique=True).map(tuple)),
        ),
        "exhaustive": st.booleans(),
        "made_by": st.sampled_from(["people", "bulk", "machine"]),
        "items": st.lists(ITEMS, max_size=5).map(tuple),
    }
)


def hundredths(box: tuple[float, ...] | None) -> list[int]:
    """Return the sides of a box of whole pixels, in hundredths of a pixel."""
    return [
        round(100 * side * px) for side, px in zip(box or (), (WIDTH, HEIGHT) * 2, strict=False)
    ]


def said(truth: Truth) -> Any:
    """What a truth says, without what COCO adds to it; boxes to the hundredth of a pixel."""
    return truth.scope, truth.exhaustive, truth.made_by, sorted(
        (
            item.kind, item.label, item.present, item.confidence, str(item.attributes.get("note")),
            hundredths(item.box),
        )
        for item in truth.items
    )  # fmt: skip


@pytest.mark.parametrize("file", ["out.json", "out.tasks"])
@settings(max_examples=examples(0.1), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_truth=TRUTHS)
def test_what_is_exported_comes_back_as_the_same_truth(
    cli: Cli, seed: Any, engine: Engine, history_url: str, file: str, given_truth: dict[str, Any]
) -> None:
    number = next(NUMBERS)
    image = seed.image(f"{number}.jpg", size_px=(WIDTH, HEIGHT))
    content = {
        **given_truth["scope"].as_json(),
        "exhaustive": given_truth["exhaustive"],
        "made_by": given_truth["made_by"],
        "items": [item.as_json() for item in given_truth["items"]],
    }
    with engine.begin() as connection:
        connection.execute(
            text("SELECT save_truth(:image, :name, 'review', CAST(:truth AS jsonb))"),
            {"image": image.image_id, "name": f"q{number}", "truth": json.dumps(content)},
        )
    cli("export", file, "--truth", f"q{number}")
    cli("import", file, "--name", f"back{number}")
    with connect(history_url, "test") as connection:
        back, made = sorted(truth_of(connection, image.image_id), key=lambda one: one.name)
    assert said(back) == said(made)


@settings(max_examples=examples(0.1), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things=st.lists(st.tuples(LABELS, BOXES), min_size=1, max_size=5))
def test_a_manifest_comes_back_with_the_same_boxes(
    cli: Cli, seed: Any, things: list[tuple[str, tuple[float, ...]]], history_url: str
) -> None:
    number = next(NUMBERS)
    image = seed.image(
        "1.jpg", size_px=(WIDTH, HEIGHT), version=f"v{number}", sequencer=f"{number:09}"
    )
    seed.image("2.jpg", size_px=(WIDTH, HEIGHT))
    found = [("1.jpg", label, box) for label, box in things]
    Path("truth.json").write_text(coco(*found), "utf-8")
    cli("import", "truth.json", "--name", f"a{number}")
    cli("export", "out.manifest", "--truth", f"a{number}")
    line = json.loads(
        Path("out.manifest").read_text("utf-8").split("\n")[0]
    )  # labels hold any character
    assert line["bounding-box-metadata"]["human-annotated"] == "yes"
    cli("import", "out.manifest", "--name", f"b{number}")
    with connect(history_url, "test") as connection:
        truths = {one.name: one for one in truth_of(connection, image.image_id)}
    boxes = [
        sorted((item.label, hundredths(item.box)) for item in truths[f"{name}{number}"].items)
        for name in "ab"
    ]
    assert boxes[0] == boxes[1]
