"""Test the SQL functions and the newer views."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import ConfigurationRecord, DetectionRecord, History
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine, text

Make = Callable[..., Any]

edges = st.tuples(*(st.integers(-8, 8).map(lambda n: n / 8) for _ in range(2)),
                  *(st.integers(0, 8).map(lambda n: n / 8) for _ in range(2)))  # fmt: skip


def ask(engine: Engine, sql: str, **given: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), given)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=edges, b=edges)
def test_iou_is_common_area_over_covered_area(
    engine: Engine, a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    def box(left: float, top: float, width: float, height: float) -> str:
        return f"box(point({left}, {top}), point({left + width}, {top + height}))"

    def common(place: int) -> float:
        end = min(a[place] + a[place + 2], b[place] + b[place + 2])
        return max(0.0, end - max(a[place], b[place]))

    both = common(0) * common(1)
    covered = a[2] * a[3] + b[2] * b[3] - both
    ((found, area),) = ask(engine, f"SELECT iou({box(*a)}, {box(*b)}), box_area({box(*a)})")
    assert found == pytest.approx(both / covered if covered else 0)
    assert area == pytest.approx(a[2] * a[3])


@pytest.mark.parametrize(
    ("attributes", "parents"),
    [
        ({"Parents": [{"Name": "Animal"}, {"Name": "Pet"}]}, {"Animal", "Pet"}),
        ({"parents": ["Animal"]}, {"Animal"}),
        ({"ParentName": "Explicit"}, {"Explicit"}),
        ({"supercategory": "animal"}, {"animal"}),
        ({"Parents": None, "parents": [3, {}, ""], "ParentName": ""}, set()),
        ({"Parents": "x" * 501}, set()),
    ],
)
def test_any_detectors_hierarchy_is_learnt(
    history: History, engine: Engine, image: Make, run: Make, attributes: Any, parents: set[str]
) -> None:
    found = DetectionRecord("label", "Cat", 1, attributes=encode_json(attributes))
    history.record([image()], [run(image(), detections=(found,))])
    assert {name for (name,) in ask(engine, "SELECT parent FROM label_parents")} == parents


def test_label_is_follows_parents_in_circles_and_across_cases(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    tree = {"Car": "Vehicle", "vehicle": "Thing", "Taxi": "car", "Thing": "Taxi", "Cat": "Animal"}
    found = tuple(
        DetectionRecord("label", label, 1, attributes=encode_json({"parents": [parent]}))
        for label, parent in tree.items()
    )
    history.record([image()], [run(image(), detections=found)])
    assert {"Car", "Taxi"} <= set(ask(engine, "SELECT label_is('VEHICLE')")[0][0])
    query = "SELECT label FROM latest_detections WHERE label_is(label, 'animal')"
    assert ask(engine, query) == [("Cat",)]
    assert ask(engine, "SELECT label_is('nothing known')") == [(["nothing known"],)]


def test_agreement_matches_boxes_one_to_one(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    def car(left: float, label: str = "Car") -> DetectionRecord:
        return DetectionRecord("label", label, 0.9, (left, 0.0, 0.2, 0.2))

    a = run(image(), detector="a", detections=(car(0.0), car(0.02), car(0.6)))
    b = run(image(), detector="b", detections=(car(0.0, "car"), car(0.9), car(0.1, "Dog")))
    history.record([image()], [a, b])
    query = (
        "SELECT label, detections_a, detections_b, matched_boxes, mean_iou, found_by"
        " FROM detector_agreement ORDER BY label"
    )
    assert ask(engine, query) == [("car", 3, 2, 1, 1.0, "both"), ("dog", 0, 1, 0, None, "only b")]


def test_looked_and_found_nothing_is_visible(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image()), run(image(), detector="x", error_code="timeout")])
    assert ask(engine, "SELECT detector, detection_count FROM latest_runs") == [("labels", 0)]
    assert ask(engine, "SELECT detectors, labels, confidences FROM image_labels") == [
        (["labels"], [], {})
    ]


def test_boxes_are_told_in_pixels_where_the_size_is_known(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    found = DetectionRecord("label", "Cat", 1, (0.0, 0.0, 0.5, 0.25))
    sized = image("a", width_px=640, height_px=480)
    history.record([sized, image("b")], [run(i, detections=(found,)) for i in (sized, image("b"))])
    query = "SELECT key, box_width_px, box_height_px FROM latest_detections ORDER BY key"
    assert ask(engine, query) == [("a", 320, 120), ("b", None, None)]


def test_a_fingerprint_tells_its_options(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    options = {"min_confidence": 0.5}
    told = ConfigurationRecord("labels", "1", "f", encode_json(options))
    history.record_configurations([told])
    history.record_configurations([replace(told, options="{}"), replace(told, fingerprint="g")])
    history.record([image()], [run(image())])
    assert ask(engine, "SELECT options, runs FROM detector_versions") == [(options, 1)]


def test_drift_divides_by_all_runs_of_the_week(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = DetectionRecord("label", "Cat", 0.5)
    for number in range(4):
        seen = image(f"{number}")
        when = seen.uploaded_at + timedelta(days=7 * (number // 2))
        found = (cat, cat) if number == 0 else ()
        history.record([seen], [run(seen, started_at=when, detections=found)])
    query = "SELECT label, runs, detections, detections_per_run, mean_confidence FROM drift"
    assert ask(engine, query) == [("Cat", 2, 2, 1.0, 0.5)]
