"""Test the changes between two sets of runs on the same images."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history.analysis.comparison import Side, compare
from retinue_history.analysis.query import run_query
from retinue_history.db.snapshot import snapshot
from retinue_sdk import BoundingBox, ImageReference
from sqlalchemy import Engine, text

Cli = Callable[..., Result]
Photos = dict[str, ImageReference]


def test_two_versions(cli: Cli, seed: Any, photos: Photos) -> None:
    seed.run(photos["empty"], ("cat", 0.8, (0, 0, 1, 1)), version="2")
    said = cli("diff", "objects@1", "objects@2").stdout
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "2 images seen by both sides; 2 only by the first, 0 only by the second" in lines
    assert "0 detections kept, 3 gained, 1 lost; images that gained or lost: 2" in lines
    assert "cat 0 2 0" in lines
    assert "− dog 0.60" in lines
    assert "+ cat 0.90" in lines


def test_json_and_sql_say_the_same(
    cli: Cli, seed: Any, photos: Photos, history_url: str, as_user: Any
) -> None:
    odd = photos["odd"]
    seed.run(odd, ("Scene", 0.9), ("cat", 0.5, (0.9, 0, 0.15, 1)), detector="other")
    answer = json.loads(cli("diff", "objects", "other", "--json").stdout)
    [image] = answer["images"]
    assert image["s3_uri"] == "s3://photos/odd=ä.jpg"
    found = [
        (one["change"], one["label"], one["confidence_before"], one["confidence_after"], one["iou"])
        for one in image["detections"]
    ]
    assert found == [
        ("kept", "Scene", 0.7, 0.9, None),
        ("kept", "cat", 0.4, 0.5, pytest.approx(0.75)),
        ("lost", "cat", 0.8, None, None),
    ]
    summary = {one["label"]: one for one in answer["summary"]["labels"]}
    assert summary["Scene"]["mean_confidence_shift"] == pytest.approx(0.2)
    assert answer["summary"]["images_seen_by_both"] == 1

    sql = cli("diff", "objects", "other", "--sql").stdout
    rows = run_query(as_user(history_url, "retinue_reader"), sql).rows
    assert [(row[2], row[4], row[5], row[6], row[7]) for row in rows] == found


def test_sides(cli: Cli, seed: Any, photos: Photos, engine: Engine) -> None:
    cat = photos["cat"]
    seed.run(cat, ("cat", 0.5, (0, 0, 1, 1)), fingerprint="0123456789", model="m3")
    with engine.connect() as connection:
        ids = connection.scalars(
            text("SELECT run_id FROM runs WHERE image_id = :id ORDER BY 1"), {"id": cat.image_id}
        ).all()
    for before, after in (
        (str(ids[1]), str(ids[2])),
        ("objects,model=m2", "objects,model=m3"),
        ("@2", ",fingerprint=0123"),
        ("objects@2,model=m2", "objects@1,fingerprint=0123456789,model=m3"),
    ):
        said = cli("diff", before, after).stdout
        assert "0 detections kept, 1 gained, 2 lost" in " ".join(said.split()), (before, after)
    for wrong in ("", "@", "objects@", "objects,modle=1", "objects,model=", ","):
        assert "names no runs" in cli("diff", wrong, "objects", exit_code=2).stderr
    unknown = cli("diff", "objects", "nobody", exit_code=2).stderr
    assert "the history has no runs of 'nobody'" in unknown


UNITS = st.integers(0, 4)
BOX = st.tuples(UNITS, UNITS, st.integers(1, 4), st.integers(1, 4)).map(
    lambda box: tuple(side / 8 for side in box)
)
FOUND = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1), BOX), max_size=6)
NUMBERS = itertools.count()
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def greedy(before: list[Any], after: list[Any]) -> set[tuple[int, int]]:
    """Return the same rule in a few lines of Python."""
    candidates = sorted(
        (-BoundingBox(*was[2]).iou(BoundingBox(*now[2])), abs(was[1] - now[1]), b, a)
        for b, was in enumerate(before)
        for a, now in enumerate(after)
        if was[0] == now[0] and BoundingBox(*was[2]).iou(BoundingBox(*now[2])) >= 0.3
    )
    pairs: dict[int, int] = {}
    for _, _, b, a in candidates:
        if b not in pairs and a not in pairs.values():
            pairs[b] = a
    return set(pairs.items())


@settings(max_examples=examples(0.25), deadline=None, suppress_health_check=SUPPRESSED)
@given(before=FOUND, after=FOUND)
def test_matching_is_greedy(
    seed: Any, history_url: str, before: list[Any], after: list[Any]
) -> None:
    number = next(NUMBERS)
    image = seed.image(f"{number}.jpg")
    seed.run(image, *before, detector=f"before-{number}")
    seed.run(image, *after, detector=f"after-{number}")
    with snapshot(history_url) as history:
        found = list(
            compare(
                history,
                Side(detector=f"before-{number}"),
                Side(detector=f"after-{number}"),
                min_iou=0.3,
            )
        )
    kept = sorted(
        (one.confidence_before, one.confidence_after) for one in found if one.change == "kept"
    )
    assert kept == sorted((before[b][1], after[a][1]) for b, a in greedy(before, after))
    assert len(found) == len(before) + len(after) - len(kept)
    for one in found:
        assert (one.iou is None) == (one.change != "kept")
