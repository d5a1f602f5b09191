"""Training data out of the history: what detectors found, and what people said instead."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command_line.conftest import Seed
from retinue_history import ConnectionPool
from retinue_rekognition_emulator import Endpoint
from training.conftest import picture

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
    assert "give --from history:RUNS" in refused
