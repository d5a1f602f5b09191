"""Whose fault a refusal is: compared with other objects, in whatever order they are asked for."""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_aws import RefusedObjects, Reply, Verdict
from retinue_aws.refusals import REMEMBERED, SUSPECTS, VISITS


def told(**replies: Reply) -> Callable[[str], Reply]:
    """S3, which replies about each object as given."""
    return lambda one: replies[one]


@pytest.fixture
def objects() -> RefusedObjects[str]:
    return RefusedObjects()


def serve(objects: RefusedObjects[str], *names: str) -> None:
    for name in names:
        objects.record_served(name, time.monotonic())


SERVED, REFUSED, UNKNOWN = Reply.SERVED, Reply.REFUSED, Reply.UNKNOWN


def test_without_another_object_nothing_is_decided(objects: RefusedObjects[str]) -> None:
    for _ in range(VISITS + 2):
        assert objects.judge("a", told(a=REFUSED)) is Verdict.UNDECIDED


def test_alone_if_another_is_served(objects: RefusedObjects[str]) -> None:
    serve(objects, "known")
    assert objects.judge("a", told(a=REFUSED, known=SERVED)) is Verdict.ALONE


def test_all_are_refused(objects: RefusedObjects[str]) -> None:
    serve(objects, "known")
    for _ in range(VISITS + 2):
        assert objects.judge("a", told(a=REFUSED, known=REFUSED)) is Verdict.UNDECIDED


def test_the_refusal_passed(objects: RefusedObjects[str]) -> None:
    serve(objects, "known")
    assert objects.judge("a", told(a=SERVED, known=SERVED)) is Verdict.PASSED


def test_an_object_is_not_compared_with_itself(objects: RefusedObjects[str]) -> None:
    serve(objects, "a")
    assert objects.judge("a", told(a=REFUSED)) is Verdict.UNDECIDED


@pytest.mark.parametrize("other", [REFUSED, UNKNOWN])
def test_an_older_object_is_asked_for_if_a_newer_tells_nothing(
    objects: RefusedObjects[str], other: Reply
) -> None:
    serve(objects, "old", "new")
    assert objects.judge("a", told(a=REFUSED, old=SERVED, new=other)) is Verdict.ALONE


def test_others_that_were_served_and_are_gone_count_if_they_came_in_between(
    objects: RefusedObjects[str],
) -> None:
    gone = told(a=REFUSED, known=UNKNOWN)
    serve(objects, "known")
    assert objects.judge("a", gone) is Verdict.UNDECIDED
    for _ in range(VISITS - 1):
        serve(objects, "known")
        assert objects.judge("a", gone) is Verdict.UNDECIDED
    assert objects.judge("a", gone) is Verdict.UNDECIDED, "none was served since"
    serve(objects, "known")
    assert objects.judge("a", gone) is Verdict.ALONE


def test_a_request_that_began_before_the_refusal_proves_nothing(
    objects: RefusedObjects[str],
) -> None:
    began = time.monotonic()
    for _ in range(VISITS + 2):
        assert objects.judge("a", told(a=REFUSED, known=UNKNOWN)) is Verdict.UNDECIDED
        objects.record_served("known", began)


def test_without_a_remembered_object_others_are_looked_for(objects: RefusedObjects[str]) -> None:
    replies = told(a=REFUSED, b=REFUSED, c=UNKNOWN, d=SERVED)
    assert objects.judge("a", replies, lambda: ["a", "b", "c"]) is Verdict.UNDECIDED
    assert objects.judge("a", replies, lambda: ["a", "b", "c", "d"]) is Verdict.ALONE


def test_if_those_remembered_are_refused_no_others_are_looked_for(
    objects: RefusedObjects[str],
) -> None:
    serve(objects, "known")
    replies = told(a=REFUSED, known=REFUSED, d=SERVED)
    assert objects.judge("a", replies, lambda: ["d"]) is Verdict.UNDECIDED


def test_if_those_remembered_are_gone_others_are_looked_for(objects: RefusedObjects[str]) -> None:
    serve(objects, "known")
    replies = told(a=REFUSED, known=UNKNOWN, d=SERVED)
    assert objects.judge("a", replies, lambda: ["d"]) is Verdict.ALONE


def test_what_is_remembered_is_bounded(objects: RefusedObjects[str]) -> None:
    asked = []

    def ask(one: str) -> Reply:
        asked.append(one)
        return UNKNOWN

    serve(objects, *(f"known-{number}" for number in range(3 * REMEMBERED)))
    for number in range(SUSPECTS + 100):
        objects.judge(f"refused-{number}", ask)
        assert len(asked) == REMEMBERED
        asked.clear()
    assert len(objects._suspects) <= SUSPECTS


@given(seed=st.integers(0, 10_000), rate=st.sampled_from([0.1, 0.3]))
def test_while_a_policy_spreads_hardly_an_object_is_blamed(seed: int, rate: float) -> None:
    chance = random.Random(seed)
    objects = RefusedObjects[str]()
    serve(objects, *"klmnopqr")

    def ask(_: str) -> Reply:
        return REFUSED if chance.random() < rate else SERVED

    verdicts = [objects.judge(f"{number}", ask) for number in range(10)]
    assert verdicts.count(Verdict.ALONE) <= 1


@given(st.data())
def test_it_is_blamed_only_if_another_was_served(data: st.DataObject) -> None:
    """Whatever S3 replies: no verdict against an object without another one that was served."""
    objects = RefusedObjects[str]()
    served_since: set[str] = set()
    replies = st.sampled_from([SERVED, REFUSED, UNKNOWN])

    def ask(one: str) -> Reply:
        reply = data.draw(replies)
        if reply is SERVED:
            served_since.add(one)
        return reply

    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.booleans()):
            one = data.draw(st.sampled_from("abc"))
            serve(objects, one)
            served_since.add(one)
        else:
            one = data.draw(st.sampled_from("abc"))
            if objects.judge(one, ask) is Verdict.ALONE:
                assert served_since - {one}
