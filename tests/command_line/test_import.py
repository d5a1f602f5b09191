"""Ground truth comes in whole or not at all, and goes out as it came."""

import io
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_cli.data.export import write_coco
from retinue_cli.data.export.categories import Categories
from retinue_cli.data.export.sizes import Sizes
from retinue_cli.data.ground_truth import Annotations, Problems, make_truths, match
from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import connect
from retinue_history.db.snapshot import snapshot
from retinue_history.review.truth import save_imported_truths
from retinue_sdk import ImageReference
from sqlalchemy import Engine, text

Cli = Callable[..., Result]
Photos = dict[str, ImageReference]


def coco(**changes: Any) -> dict[str, Any]:
    """Return a small and correct file."""
    return {
        "info": {},
        "images": [
            {"id": 7, "file_name": "cat.jpg", "width": 640, "height": 480},
            {"id": "x", "file_name": "unknown.jpg", "width": 100, "height": 50},
            {"id": 9, "file_name": "empty.jpg"},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 90, "name": "dog", "supercategory": "pet"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [64, 48, 320, 240], "iscrowd": 1},
            {"id": 2, "image_id": "x", "category_id": 90, "bbox": [0, 0, 100.4, 50]},
            {"id": 3, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.25},
        ],
    } | changes


@pytest.fixture
def count(engine: Engine) -> Callable[[], int]:
    def ask() -> int:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM truths")) or 0

    return ask


def test_import(cli: Cli, photos: Photos, count: Callable[[], int], engine: Engine) -> None:
    before = count()
    Path("truth.json").write_text(json.dumps(coco()), "utf-8")
    said = cli("import", "truth.json", "--name", "of 2026").stdout
    assert said == "3 images with 3 annotations: 3 new truths in of 2026\n"
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT key, label, confidence, box_left, box_width, attributes "
                "FROM ground_truth WHERE name = 'of 2026' ORDER BY key DESC"
            )
        ).all()
        size = connection.execute(
            text("SELECT width_px, height_px FROM images WHERE key = 'unknown.jpg'")
        ).one()
    assert [tuple(row) for row in rows] == [
        ("unknown.jpg", "dog", 1.0, 0.0, pytest.approx(1.004), {"id": 2}),
        ("pets/cat.jpg", "cat", 1.0, 0.1, 0.5, {"id": 1, "iscrowd": 1}),
        ("empty.jpg", "cat", 0.25, 1 / 640, 3 / 640, {"id": 3}),
    ]
    assert tuple(size) == (100, 50)

    again = cli("import", "truth.json", "--name", "of 2026").stdout
    assert "0 new truths in of 2026, 3 known already" in again
    shuffled = coco()
    random.Random(1).shuffle(shuffled["annotations"])
    Path("truth.json").write_text(json.dumps(shuffled, indent=3), "utf-8")
    cli("import", "truth.json", "--name", "of 2026")
    assert count() == before + 3  # laid out in another way, it says the same


def test_everything_wrong_is_told_at_once(
    cli: Cli, photos: Photos, count: Callable[[], int], seed: Any
) -> None:
    seed.image("other/cat.jpg")
    before = count()
    content = coco()
    content["images"] += [
        {"id": 9, "file_name": "empty.jpg"},
        {"id": 11, "file_name": "nowhere-1.jpg"},
        {"id": 12, "file_name": "nowhere-2.jpg"},
        {"id": 13},
        {"id": 14, "file_name": "odd=ä.jpg", "width": 480, "height": 640},
        {"id": 15, "file_name": "broken.jpg", "width": 0, "height": 2.5},
        {"id": 16, "file_name": "pets/cat.jpg"},
        {"id": 17, "file_name": "photos/pets/cat.jpg", "coco_url": "s3://photos/pets/cat.jpg"},
        "no object",
    ]
    content["annotations"] += [
        {"id": 21, "image_id": 99, "category_id": 5, "bbox": [0, 0, 1, 1]},
        {"id": 22, "image_id": 7, "category_id": 1, "bbox": [600, 0, 60, 10]},
        {"id": 23, "image_id": 7, "category_id": 1, "bbox": [0, 0, -1, 1]},
        {"id": 24, "image_id": 7, "category_id": 1},
        {"id": 25, "image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 7},
        {"id": 26, "image_id": [], "category_id": {}, "bbox": "abcd"},
        {"id": 27, "image_id": 16, "category_id": 1, "bbox": [0, 0, 1, 481.5]},
        None,
    ]
    Path("truth.json").write_text(json.dumps(content), "utf-8")
    said = cli("import", "truth.json", exit_code=2).stderr
    assert said.splitlines()[1:] == [
        "1 × images with the same id: 9",
        "1 × image without a file_name: 13",
        "1 × image whose width or height isn't a positive integer: 15",
        '1 × image without an id: "no object"',
        "2 × annotation of an image that the file does not have: 21, 26",
        "2 × annotation of a category that the file does not have: 21, 26",
        (
            "2 × box outside its image: annotation 22: [600.0, 0.0, 60.0, 10.0], "
            "annotation 27: [0.0, 0.0, 1.0, 481.5]"
        ),
        "3 × annotation whose bbox is not left, top, width and height: 23, 24, 26",
        "1 × annotation whose score is not 0 to 1: 25",
        "1 × annotation that isn't an object: null",
        (
            "1 × image whose name fits several: cat.jpg (s3://photos/other/cat.jpg and "
            "s3://photos/pets/cat.jpg)"
        ),
        "2 × image that is not in the history: nowhere-1.jpg, nowhere-2.jpg",
        (
            "1 × image whose size is another in the history: odd=ä.jpg (480 × 640 px in the file, "
            "640 × 480 px in the history)"
        ),
        "1 × image that is in the file twice: photos/pets/cat.jpg",
    ]
    assert count() == before


def test_unknown_images_can_be_passed_over(cli: Cli, photos: Photos) -> None:
    content = coco()
    content["images"][1]["file_name"] = "nowhere.jpg"
    Path("truth.json").write_text(json.dumps(content), "utf-8")
    cli("import", "truth.json", exit_code=2)
    said = cli("import", "truth.json", "--skip-unknown", "--bucket", "photos").stdout
    assert "2 images with 2 annotations: 2 new truths" in said
    assert "left out: 1 image not in the history" in said
    cli("import", "truth.json", "--bucket", "elsewhere", exit_code=2)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"images": 1}', "[" * 100_000, "NaN", "\ud800"]
)
def test_what_is_no_coco_file(cli: Cli, history_url: str, content: str) -> None:
    Path("truth.json").write_bytes(content.encode(errors="surrogatepass"))
    assert "Error" not in cli("import", "truth.json", exit_code=2).stderr


def test_an_interrupted_import_leaves_nothing(
    photos: Photos, count: Callable[[], int], engine: Engine, history_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(coco()), "utf-8")
    annotations = Annotations.read(path, Problems())
    matched, _ = match(engine, annotations, Problems())

    def batches() -> Any:
        yield from make_truths(matched, annotations.labels)
        raise KeyboardInterrupt

    with (
        connect(history_url, "test", autocommit=True) as connection,
        pytest.raises(KeyboardInterrupt),
    ):
        save_imported_truths(connection, "truth", "digest", batches(), person="ann")
    assert count() == 0


def test_a_corrected_file_replaces_what_it_said_before(
    cli: Cli, photos: Photos, engine: Engine
) -> None:
    said: list[str] = []
    for left in (64, 65, 64):
        content = coco()
        content["annotations"][0]["bbox"][0] = left
        Path("truth.json").write_text(json.dumps(content), "utf-8")
        said.append(cli("import", "truth.json").stdout)
        with engine.connect() as connection:
            boxes = connection.scalars(
                text("SELECT box_left * 640 FROM ground_truth WHERE key = 'pets/cat.jpg'")
            ).all()
        assert boxes == [pytest.approx(left)]
    assert said == ["3 images with 3 annotations: 3 new truths in ground-truth\n"] * 3


def test_the_name_of_a_detector_is_refused(cli: Cli, photos: Photos) -> None:
    Path("truth.json").write_text(json.dumps(coco()), "utf-8")
    refused = cli("import", "truth.json", "--name", "objects", exit_code=1).stderr
    assert "objects is the name of a detector: choose another" in refused


@pytest.mark.parametrize("name", ["2026", "objects@1", "labels, week 48", "x,model=3"])
def test_a_name_that_diff_would_read_as_runs_is_refused(
    cli: Cli, photos: Photos, name: str
) -> None:
    Path("truth.json").write_text(json.dumps(coco()), "utf-8")
    refused = cli("import", "truth.json", "--name", name, exit_code=2).stderr
    assert f"{name}: the name of a truth can't be a number" in refused


def test_a_user_without_a_name_may_import(
    cli: Cli, photos: Photos, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", unknown)
    Path("truth.json").write_text(json.dumps(coco()), "utf-8")
    cli("import", "truth.json")
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT DISTINCT person FROM audit_log")).all() == ["local"]


WIDTH, HEIGHT = 640, 480
BOXES = st.tuples(
    st.integers(0, WIDTH - 1),
    st.integers(0, HEIGHT - 1),
    st.integers(1, WIDTH),
    st.integers(1, HEIGHT),
).map(lambda box: (*box[:2], min(box[2], WIDTH - box[0]), min(box[3], HEIGHT - box[1])))
LABELS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9
)
FOUND = st.lists(st.tuples(st.sampled_from(["a.jpg", "b.jpg", "c.jpg"]), LABELS, BOXES), max_size=8)
VERSIONS = itertools.count()
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=examples(0.2), deadline=None, suppress_health_check=SUPPRESSED)
@given(found=FOUND)
def test_what_comes_in_goes_out(
    seed: Any, engine: Engine, history_url: str, tmp_path: Path, found: list[Any]
) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    for name in names:
        seed.image(name)
    labels = sorted({label for _, label, _ in found})
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "categories": [{"id": n, "name": label} for n, label in enumerate(labels)],
        "annotations": [
            {
                "id": n,
                "image_id": names.index(name),
                "category_id": labels.index(label),
                "bbox": box,
            }
            for n, (name, label, box) in enumerate(found)
        ],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content), "utf-8")
    problems = Problems()
    annotations = Annotations.read(path, problems)
    matched, skipped = match(engine, annotations, problems)
    assert not problems, str(problems)
    name_of_truth = f"truth-{next(VERSIONS)}"
    truths = make_truths(matched, annotations.labels)
    with connect(history_url, "test", autocommit=True) as connection:
        saved = save_imported_truths(
            connection, name_of_truth, annotations.fingerprint, truths, person="ann"
        )
    assert saved == 3
    assert skipped == 0

    file = io.BytesIO()
    with snapshot(history_url) as history:
        write_coco(
            history,
            Selection(),
            file,
            lambda _: None,
            side=Side(detector=name_of_truth),
            categories=Categories.of(history),
            sizes=Sizes(),
        )
    out = json.loads(file.getvalue())
    keys = {image["id"]: image["file_name"] for image in out["images"]}
    categories = {one["id"]: one["name"] for one in out["categories"]}
    assert sorted(keys.values()) == names
    came_out = [
        (keys[one["image_id"]], categories[one["category_id"]], tuple(one["bbox"]))
        for one in out["annotations"]
    ]
    assert sorted(came_out) == sorted(
        (name, label, tuple(float(side) for side in box)) for name, label, box in found
    )
