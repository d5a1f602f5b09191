"""Training data out of the history: what detectors found, and what people said instead."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from command_line.conftest import Seed
from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.training.data import (
    TEST_SHARE,
    Thing,
    TrainingImage,
    covers,
    labels_of,
    place,
    split,
)
from retinue_history import ConnectionPool
from retinue_rekognition_emulator import Endpoint
from retinue_sdk import ImageReference
from training.conftest import SIDE, picture, tile

Cli = Callable[..., Result]
LEFT = (0.1, 0.1, 0.4, 0.4)


@pytest.fixture
def seed(history: str, bucket: tuple[Any, str]) -> Iterator[Seed]:
    pool = ConnectionPool(history)
    yield Seed(pool, bucket[1])
    pool.close()


def entries(endpoint: Endpoint, project: str) -> dict[str, dict[str, Any]]:
    """Return the entries of the project's datasets, by the end of each image's key."""
    made = endpoint.operations.projects
    datasets = made.datasets.of(endpoint.operations.versions.projects[project])
    return {
        uri.rpartition("/")[2]: json.loads(line)
        for dataset in datasets
        for uri, line in dataset.entries.items()
    }


def test_what_nobody_confirmed_says_so_and_corrections_go_before_it(
    cli: Cli, bucket: tuple[Any, str], endpoint: Endpoint, seed: Seed
) -> None:
    s3, name = bucket
    for number in range(4):
        s3.put_object(Bucket=name, Key=f"{number}.jpg", Body=picture())
        image = seed.image(f"{number}.jpg", size_px=(100, 80))
        seed.run(image, ("nut", 0.8, LEFT), ("bolt", 0.6, LEFT))
    Path("corrections.manifest").write_text(
        "".join(
            json.dumps(
                {
                    "source-ref": f"s3://{name}/{number}.jpg",
                    "boxes": {
                        "image_size": [{"width": 100, "height": 80, "depth": 3}],
                        "annotations": [
                            {"class_id": 0, "left": 1, "top": 2, "width": 30, "height": 40}
                        ],
                    },
                    "boxes-metadata": {
                        "class-map": {"0": "washer", "1": "nut", "2": "bolt"},
                        "type": "groundtruth/object-detection",
                        "human-annotated": human,
                    },
                }
            )
            + "\n"
            for number, human in ((0, "yes"), (1, "no"))
        ),
        "utf-8",
    )
    cli("import", "corrections.manifest")
    begin = ["--output", f"s3://{name}/out/", "--yes", "--poll", "0.01"]

    said = cli("models", "train", "a", "--from", "history:objects", *begin).stdout
    assert "4 of 4 images have a detector's unconfirmed findings" in said
    for line in entries(endpoint, "a").values():
        told = line["bounding-box-metadata"]
        assert told["human-annotated"] == "no"
        assert sorted(one["confidence"] for one in told["objects"]) == [0.6, 0.8]

    source = ["--from", "history:objects", "--corrections", "ground-truth"]
    cli("models", "train", "b", *source, *begin)
    found = entries(endpoint, "b")
    people, machine = found.pop("0.jpg"), found.pop("1.jpg")
    assert people["bounding-box-metadata"]["human-annotated"] == "yes"
    assert people["bounding-box-metadata"]["objects"] == [{"confidence": 1}]
    assert list(people["bounding-box-metadata"]["class-map"].values()) == ["washer"]
    assert machine["bounding-box-metadata"]["human-annotated"] == "no", "imported, not by people"
    assert list(machine["bounding-box-metadata"]["class-map"].values()) == ["washer"]
    assert {one["bounding-box-metadata"]["human-annotated"] for one in found.values()} == {"no"}

    refused = cli("models", "train", "c", "--from", "corrections.manifest",
                  "--corrections", "ground-truth", *begin, exit_code=2).stderr  # fmt: skip
    assert "needs --from history:RUNS" in refused


def test_training_learns_from_truths_that_teach_nothing_wrong(
    cli: Cli, bucket: tuple[Any, str], endpoint: Endpoint, seed: Seed, history: str
) -> None:
    s3, name = bucket
    said: dict[str, dict[str, Any]] = {
        **{f"{number}.jpg": {} for number in range(12)},
        "partial.jpg": {"exhaustive": False},
        "bulk.jpg": {"made_by": "bulk"},
        "bolts.jpg": {"scope_labels": ["bolt"]},
    }
    with psycopg.connect(history, autocommit=True) as connection:
        for key, change in said.items():
            s3.put_object(Bucket=name, Key=key, Body=picture())
            image = seed.image(key, size_px=(100, 80))
            item = {"kind": "label", "label": "nut", "box": LEFT}
            truth = {"exhaustive": True, "made_by": "people", "items": [item]} | change
            connection.execute(
                "SELECT save_truth(%s, 'q', 'review', %s)", [image.image_id, json.dumps(truth)]
            )
    begin = ["--from", "history:q", "--output", f"s3://{name}/out/", "--yes", "--poll", "0.01"]
    told = cli("models", "train", "parts", "--no-bulk", *begin).stdout
    assert "left out: 1 image in which not everything is marked" in told
    assert "left out: 1 image of a decision about many images" in told
    assert "left out: 1 image in which not every label was looked for" in told
    assert sorted(entries(endpoint, "parts")) == sorted(f"{number}.jpg" for number in range(12))

    tested = {one.key for one in split(images(said))[1]}
    fewer = {one.key for one in split([one for one in images(said) if one.key != "3.jpg"])[1]}
    assert fewer == tested - {"3.jpg"}, "an image stays on its side"
    assert 0 < len(tested) < len(said)


@given(st.lists(st.sets(st.sampled_from("abcde")), max_size=12))
def test_both_parts_suffice_for_custom_labels_where_they_can(labels: list[set[str]]) -> None:
    whole = images(str(number) for number in range(len(labels)))
    for image, those in zip(whole, labels, strict=True):
        image.items = [Thing(label, None) for label in those]
    learned, tested = split(whole)
    assert sorted(one.key for one in whole) == sorted(one.key for one in [*learned, *tested])
    ordered = sorted(whole, key=place)
    ways = [(ordered[number:], ordered[:number]) for number in range(1, len(whole))]
    fifth = [way for way in ways if len(way[1]) >= sum(place(one) < TEST_SHARE for one in whole)]
    good = [way for way in fifth if covers(labels_of(way[1]), labels_of(way[0]))]
    assert (learned, tested) == (good or fifth or [(whole, [])])[0]


def test_corrections_and_rejections_since_the_last_version_are_learned_here(
    cli: Cli, bucket: tuple[Any, str], seed: Seed, history: str
) -> None:
    s3, name = bucket
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    stored = {}
    for texture in ("brick", "grass"):
        for number in range(7):
            key = f"{texture}{number}.png"
            file = io.BytesIO()
            tile(texture, number).save(file, "PNG")
            put = s3.put_object(Bucket=name, Key=key, Body=file.getvalue())
            stored[key] = seed.image(key, size_px=(SIDE, SIDE), version=put["VersionId"])
            seed.run(stored[key], (texture, 0.8))

    def decide(key: str, **truth: Any) -> None:
        whole = {"exhaustive": True, "made_by": "people", "items": []} | truth
        with psycopg.connect(history, autocommit=True) as connection:
            arguments = [stored[key].image_id, json.dumps(whole)]
            connection.execute("SELECT save_truth(%s, 'ground-truth', 'review', %s)", arguments)

    train = ["models", "train", "ground", "--on", "local"]
    decide("brick0.png", items=[{"kind": "label", "label": "grass"}])
    source = ["--from", "history:objects", "--corrections", "ground-truth"]
    said = cli(*train, *source).stdout
    assert "1 image of ground-truth" in said
    assert "13 of 14 images have a detector's unconfirmed findings" in said
    decide("grass1.png")  # shows none of the labels
    labels = [{"kind": "label", "label": "brick"}, {"kind": "label", "label": "grass"}]
    rejected = [{**one, "present": False} for one in labels]
    decide("grass2.png", exhaustive=False, items=rejected)
    decide("grass3.png", exhaustive=False, items=rejected[:1])  # says too little
    said = cli(*train).stdout
    assert "1 × image in which not everything is marked" in said
    assert "since ground/1: 0 new, 1 removed, 2 annotated otherwise; 2 of them show none" in said
    card = json.loads(Path("models/ground/2/card.json").read_text("utf-8"))
    shown = {
        one["name"].rpartition("/")[2]: [thing["label"] for thing in one["things"]]
        for one in card["data"]["images"]
    }
    assert card["unconfirmed_images"] == 10
    assert shown["brick0.png"] == ["grass"]
    assert shown["brick1.png"] == ["brick"]
    assert shown["grass1.png"] == shown["grass2.png"] == []
    assert "grass3.png" not in shown

    # The same files in a folder: what people said about a file counts, wherever it lies.
    for key in stored:
        path = Path("photos") / key[:5] / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=name, Key=key)["Body"].read())
    folder = ["--from", "photos", "--corrections", "ground-truth", "--dry-run", "--json"]
    told = json.loads(cli("models", "train", "other", "--on", "local", *folder).stdout)
    assert told["train"] + told["validation"] + told["test"] == len(stored)
    assert told["left_out"] == {"image in which not everything is marked": 1}


def test_a_corrected_image_stays_in_its_part(
    cli: Cli, bucket: tuple[Any, str], seed: Seed, history: str
) -> None:
    s3, name = bucket
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    paths = []
    for texture in ("brick", "grass"):
        for number in range(7):
            paths.append(Path("photos") / texture / f"{number}.png")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            tile(texture, number).save(paths[-1])
    with psycopg.connect(history, autocommit=True) as connection:
        for path in paths:
            key = f"{path.parent.name}{path.name}"
            put = s3.put_object(Bucket=name, Key=key, Body=path.read_bytes())
            image = seed.image(key, size_px=(SIDE, SIDE), version=put["VersionId"])
            item = {"kind": "label", "label": path.parent.name, "box": [0, 0, 0.5, 0.5]}
            truth = {"exhaustive": True, "made_by": "people", "items": [item]}
            arguments = [image.image_id, json.dumps(truth)]
            connection.execute("SELECT save_truth(%s, 'ground-truth', 'review', %s)", arguments)
    coco = {
        "images": [
            {"id": number, "file_name": str(path), "photograph": f"photograph {number // 2}"}
            for number, path in enumerate(paths)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": number // 7, "bbox": [0, 0, 9, 9]}
            for number in range(len(paths))
        ],
        "categories": [{"id": 0, "name": "brick"}, {"id": 1, "name": "grass"}],
    }
    Path("pairs.json").write_text(json.dumps(coco), "utf-8")
    for model, source in (("one", "photos"), ("two", "pairs.json")):
        parts = []
        for number, more in ((1, []), (2, ["--corrections", "ground-truth"])):
            cli("models", "train", model, "--on", "local", "--from", source, *more)
            card = json.loads(Path(f"models/{model}/{number}/card.json").read_text("utf-8"))
            assert [one["name"].startswith("s3://") for one in card["data"]["images"]] == [
                bool(more)
            ] * len(paths)
            parts.append({one["sha256"]: one["part"] for one in card["data"]["images"]})
        assert parts[0] == parts[1]
    # In the second model, the photographs decide.
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    for pair in zip(digests[::2], digests[1::2], strict=True):
        assert len({parts[1][one] for one in pair}) == 1


def images(keys: Iterable[str]) -> list[TrainingImage]:
    return [
        TrainingImage("b", key, image_id=ImageReference("b", key, version_id="v").image_id)
        for key in keys
    ]
