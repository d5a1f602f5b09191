"""Settling says what more than half of the people say, in whichever order they answered."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_history.recording.records import Box
from retinue_history.review.answer import AnswerItem, Shown
from retinue_history.review.matching import iou, match
from retinue_history.review.settling import Settled, Statement, Unsettled, settle_answers
from retinue_history.review.truth import EVERYTHING, Scope, TruthItem

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)
PEOPLE = ("ann", "ben", "cid", "dan")


def shown(number: int, label: str = "cat", box: Box | None = LEFT) -> Shown:
    return Shown(number, 1, "objects", "1", None, "label", label, 0.9, box)


def add(label: str, box: Box | None = LEFT) -> AnswerItem:
    return AnswerItem("add", "label", label, box)


def say(
    person: str, *items: AnswerItem, exhaustive: bool = True, scope: Scope = EVERYTHING
) -> Statement:
    return Statement(person, items, exhaustive, scope)


def items(outcome: Settled | Unsettled) -> list[tuple[str, Box | None, bool]]:
    assert isinstance(outcome, Settled)
    return [(one.label, one.box, one.present) for one in outcome.items]


def test_one_answer_is_the_truth_where_one_is_wanted() -> None:
    outcome = settle_answers(
        [
            say(
                "ann",
                AnswerItem.of("accept", shown(1)),
                AnswerItem.of("reject", shown(2, "dog", RIGHT)),
                AnswerItem("change", "label", "fox", RIGHT, shown(3, "dog", (0.5, 0.5, 0.4, 0.4))),
                add("sky", None),
            )
        ],
        overlap=1,
    )
    assert items(outcome) == [
        ("cat", LEFT, True), ("dog", RIGHT, False), ("fox", RIGHT, True), ("sky", None, True)
    ]  # fmt: skip


def test_a_thing_that_several_detectors_find_counts_once() -> None:
    beside = (LEFT[0] + 0.01, *LEFT[1:])
    first, second = shown(1), replace(shown(2, box=beside), run_id=2)
    twice = [AnswerItem.of("accept", one) for one in (first, second)]
    assert items(settle_answers([say("ann", *twice)], 1)) == [("cat", beside, True)]
    moved = AnswerItem("change", "label", "cat", RIGHT, replace(shown(3, box=RIGHT), run_id=2))
    assert len(items(settle_answers([say("ann", twice[0], moved)], 1))) == 2, "another place"
    moved = AnswerItem("change", "label", "cat", beside, first)
    outcome = settle_answers(
        [say("ann", moved, AnswerItem.of("accept", replace(second, box=LEFT)))], 1
    )
    assert items(outcome) == [("cat", beside, True)], "the person's box"
    same_run = AnswerItem.of("accept", shown(2, box=beside))
    assert len(items(settle_answers([say("ann", twice[0], same_run)], 1))) == 2, "two cats"
    assert len(items(settle_answers([say("ann", twice[0], add("cat", beside))], 1))) == 2, "marked"
    other = AnswerItem.of("accept", replace(second, label="dog"))
    assert len(items(settle_answers([say("ann", twice[0], other)], 1))) == 2, "another label"


def test_the_majority_names_it_and_the_middle_of_their_boxes_places_it() -> None:
    boxes = [(0.1, 0.1, 0.3, 0.3), (0.12, 0.1, 0.3, 0.32), (0.5, 0.1, 0.3, 0.3)]
    outcome = settle_answers(
        [say("ann", add("cat", boxes[0])), say("ben", add("cat", boxes[1])),
         say("cid", add("lynx", (0.11, 0.1, 0.3, 0.3)))],
        overlap=3,
    )  # fmt: skip
    [(label, box, present)] = items(outcome)
    assert (label, present) == ("cat", True)
    assert box == pytest.approx((0.11, 0.1, 0.3, 0.31))


def test_who_disagree_need_a_third_and_then_an_adjudicator() -> None:
    two = [say("ann", add("cat")), say("ben", add("dog"))]
    assert settle_answers(two[:1], 2) == Unsettled("open", 2)
    assert settle_answers(two, 2) == Unsettled("open", 3)
    assert items(settle_answers([*two, say("cid", add("dog"))], 2)) == [("dog", LEFT, True)]
    three = [*two, say("cid", add("fox"))]
    assert settle_answers(three, 2) == Unsettled("disputed", 3)
    final = Statement("eva", (add("fox"),), True, EVERYTHING, adjudicates=True)
    assert items(settle_answers([*three, final], 2)) == [("fox", LEFT, True)]


def test_silence_is_a_vote_only_of_who_marked_everything() -> None:
    marked, silent = say("ann", add("cat")), say("ben")
    assert settle_answers([marked, silent], 2) == Unsettled("open", 3)
    partial = say("ben", exhaustive=False)
    outcome = settle_answers([marked, partial], 2)
    assert items(outcome) == [("cat", LEFT, True)]
    assert isinstance(outcome, Settled)
    assert not outcome.exhaustive
    looked_for_dogs = say("ben", scope=Scope(None, ("dog",)))
    outcome = settle_answers([marked, looked_for_dogs], 2)
    assert items(outcome) == [("cat", LEFT, True)]
    assert isinstance(outcome, Settled)
    assert outcome.scope == Scope(None, ("dog",)), "both looked for dogs alone"


def test_what_all_are_unsure_of_is_left_open_to_the_reader_of_the_truth() -> None:
    unsure = AnswerItem.of("unsure", shown(1))
    outcome = settle_answers([say("ann", unsure), say("ben", unsure)], 2)
    assert isinstance(outcome, Settled)
    assert (outcome.items, outcome.exhaustive) == ((), False)
    accepted = say("ben", AnswerItem.of("accept", shown(1)))
    assert items(settle_answers([say("ann", unsure), accepted], 2)) == [("cat", LEFT, True)]


def test_a_finding_that_all_rejected_is_not_there_even_if_one_had_moved_it() -> None:
    moved = AnswerItem("change", "label", "cat", RIGHT, shown(1))
    rejects = [say(who, AnswerItem.of("reject", shown(1))) for who in ("ben", "cid")]
    assert items(settle_answers([say("ann", moved), *rejects], 3)) == [("cat", LEFT, False)]


UNITS = st.integers(0, 6)
BOXES = st.tuples(UNITS, UNITS, st.integers(1, 4), st.integers(1, 4)).map(
    lambda box: (box[0] / 8, box[1] / 8, box[2] / 8, box[3] / 8)
)
ITEMS = st.lists(
    st.one_of(
        st.builds(add, st.sampled_from("ab"), st.one_of(st.none(), BOXES)),
        st.builds(
            lambda decision, number: AnswerItem.of(decision, shown(number, "ab"[number % 2])),
            st.sampled_from(["accept", "reject", "unsure"]),
            st.integers(1, 3),
        ),
    ),
    max_size=4,
    unique_by=lambda item: (
        (item.label, item.box) if item.shown is None else item.shown.detection_id
    ),
)
STATEMENTS = st.lists(st.tuples(ITEMS, st.booleans()), min_size=1, max_size=4).map(
    lambda said: [
        say(person, *one, exhaustive=exhaustive)
        for person, (one, exhaustive) in zip(PEOPLE, said, strict=False)
    ]
)


@given(STATEMENTS, st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter(
    statements: list[Statement], overlap: int, dice: random.Random
) -> None:
    shuffled = [
        Statement(
            one.person, tuple(dice.sample(one.items, len(one.items))), one.exhaustive, one.scope
        )
        for one in dice.sample(statements, len(statements))
    ]
    assert settle_answers(shuffled, overlap) == settle_answers(statements, overlap)


def named(truth: Sequence[TruthItem]) -> list[tuple[object, ...]]:
    return sorted((one.label, str(one.box), one.present) for one in truth)


@given(ITEMS, st.integers(1, 4))
def test_people_who_say_the_same_settle_what_each_says(said: list[AnswerItem], number: int) -> None:
    together = settle_answers([say(person, *said) for person in PEOPLE[:number]], number)
    alone = settle_answers([say("ann", *said)], 1)
    assert isinstance(together, Settled)
    assert isinstance(alone, Settled)
    # A thing that is there twice, exactly so, may be taken for one of another person.
    if len({(one.kind, one.label, one.box) for one in said}) == len(said):
        assert named(together.items) == named(alone.items)
    assert together.exhaustive == alone.exhaustive


@given(STATEMENTS)
def test_a_settled_thing_lies_between_the_boxes_of_those_who_say_so(
    statements: list[Statement],
) -> None:
    outcome = settle_answers(statements, 1)
    if isinstance(outcome, Settled):
        for one in outcome.items:
            same = [
                item.box
                for statement in statements
                for item in statement.items
                if item.label == one.label and item.box is not None
            ]
            if one.box is not None:
                assert min(box[0] for box in same) <= one.box[0] <= max(box[0] for box in same)
                assert min(box[1] for box in same) <= one.box[1] <= max(box[1] for box in same)


@given(BOXES, BOXES)
def test_overlap_is_symmetric(one: Box, other: Box) -> None:
    assert iou(one, other) == pytest.approx(iou(other, one))
    assert 0 <= iou(one, other) <= 1
    assert iou(one, one) == 1


def test_greedy_matching_takes_the_greatest_overlap_first() -> None:
    near, far = (0.1, 0.1, 0.3, 0.3), (0.15, 0.1, 0.3, 0.3)
    things = [TruthItem("label", "cat", box) for box in (far, near)]
    assert match(things, [TruthItem("label", "cat", near)]) == [(1, 0)]
    assert match(things, [TruthItem("label", "dog", near)]) == []
