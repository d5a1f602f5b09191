"""Accuracy against pycocotools, which defines it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from retinue_cli.data.evaluation.sample import CocoAnnotation, Sample
from retinue_cli.data.evaluation.score import evaluate, outcomes
from retinue_sdk import BoundingBox
from retinue_sdk.accuracy import Curve, best_threshold, curves, thresholds
from retinue_sdk.training import Annotated

SIDE = 100

boxes = st.sampled_from([(0, 0, 10, 10), (2, 0, 10, 10), (40, 9, 5, 5), (41, 9, 5, 5), None])
things = st.builds(Annotated, st.sampled_from(["a", "b"]), boxes.map(
    lambda box: box and BoundingBox(*(side / SIDE for side in box))
))  # fmt: skip
found = st.lists(st.tuples(things, st.integers(1, 9).map(lambda tenth: tenth / 10)), max_size=5)
answers = st.lists(
    st.tuples(found.map(lambda some: sorted(some, key=lambda one: -one[1])), st.lists(things)),
    min_size=1,
    max_size=5,
)


def annotation(thing: Annotated, confidence: float = 1.0) -> CocoAnnotation:
    box = thing.box
    sides = None if box is None else (box.left, box.top, box.width, box.height)
    return CocoAnnotation(thing.label, sides, confidence)


@settings(deadline=None, max_examples=60)
@given(answers)
def test_the_definitions_are_those_of_pycocotools(some: list) -> None:
    mixed = {one.box is None for found, true in some for one in [*dict(found), *true]}
    if len(mixed) > 1:
        return  # a comparison is of boxes, or of whole images
    samples = [
        Sample("x.jpg", [annotation(one) for one in true], [annotation(*one) for one in found])
        for found, true in some
    ]
    result = evaluate(samples, ["a", "b"])
    judged = outcomes(samples, ["a", "b"])
    for place, (score, curve) in enumerate(
        zip(result.labels, curves(["a", "b"], some).values(), strict=True)
    ):
        assert curve.truths == score.ground_truths
        assert curve.average_precision() == pytest.approx(score.ap50)
        assert sum(int(one.is_right.sum()) for one in judged[place]) == curve.is_right.sum()
        at = curve.score(score.label, 0.5)
        assert (at.true_positives, at.false_positives) == (
            score.true_positives, score.predictions - score.true_positives,
        )  # fmt: skip


@given(
    arrays.arrays(np.float32, 12, elements=st.floats(0, 1, width=32)),
    arrays.arrays(np.bool_, 12),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_no_threshold_has_a_better_f1(
    confidences: np.ndarray, is_right: np.ndarray, missed: int
) -> None:
    truths = int(is_right.sum()) + missed
    threshold = best_threshold(confidences, is_right, truths)
    assert 0 <= threshold <= 1

    def f1(least: float) -> float:
        reported = confidences.astype(float) >= least
        return float(2 * (is_right & reported).sum() / max(truths + reported.sum(), 1))

    if is_right.any():
        assert f1(threshold) == max(map(f1, confidences.astype(float)))
    else:
        assert threshold == 0.5


def test_a_threshold_is_far_from_confidences() -> None:
    assert best_threshold([0.9, 0.2], [True, False], 1) == 0.5
    assert best_threshold([0.9, 0.7], [True, False], 1) == pytest.approx(0.8)
    assert best_threshold([0.3, 0.1], [True, False], 1) == pytest.approx(0.2)


def test_a_label_with_few_things_gets_the_threshold_of_all() -> None:
    # Right findings are surer than 0.6. A label with one thing has only a wrong one, of 0.9.
    many = Curve.of(30, [(0.61 + number / 100, True) for number in range(30)])
    wrong = Curve.of(30, [(0.2 + number / 100, False) for number in range(40)])
    few = Curve.of(1, [(0.9, False), (0.4, True)])
    assert thresholds({"few": few, "many": many, "wrong": wrong})["few"] == pytest.approx(0.6)
    # With many things of its own, its own threshold.
    other = Curve.of(400, [(0.2 + number / 4_000, True) for number in range(400)])
    found = thresholds({"many": many, "wrong": wrong, "other": other})
    assert found["other"] == pytest.approx(0.1, abs=0.1)
    assert thresholds({"other": other})["other"] == best_threshold(
        other.confidences, other.is_right, other.truths
    )


def test_no_threshold_is_lower_than_what_is_reported() -> None:
    assert thresholds({"a": Curve.of(1, [(0.05, True)])}) == {"a": 0.05}
    assert thresholds({"a": Curve.of(1, []), "b": Curve.of(0, [])}) == {"a": 0.5, "b": 0.5}
