"""Alpha is Krippendorff's, by the examples that he published; F1 is symmetric."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_history.recording.records import Box
from retinue_history.review.agreement import agreement_of, krippendorff_alpha
from retinue_history.review.answer import AnswerItem
from retinue_history.review.settling import Statement
from retinue_history.review.truth import EVERYTHING, Scope

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)


def units(*coders: str) -> list[dict[str, str | None]]:
    """One string a coder, one character a unit; a dot where the coder has no value."""
    return [
        {str(coder): value for coder, value in enumerate(values) if value != "."}
        for values in zip(*coders, strict=True)
    ]


@pytest.mark.parametrize(
    ("coders", "alpha"),
    [
        # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), sections A, B and C.
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
        # https://en.wikipedia.org/wiki/Krippendorff%27s_alpha, the nominal metric.
        ((".....34121133.3", "1.213343.......", "..21344.21133.4"), 0.691),
    ],
)  # fmt: skip
def test_published_examples(coders: Sequence[str], alpha: float) -> None:
    assert krippendorff_alpha(units(*coders)) == pytest.approx(alpha, abs=0.0005)


def test_the_ends_of_alpha() -> None:
    assert krippendorff_alpha(units("abab", "abab")) == 1
    assert krippendorff_alpha(units("aaaa", "aaaa")) is None, "there is nothing to disagree about"
    assert krippendorff_alpha(units("ab", "..")) is None
    assert krippendorff_alpha([]) is None
    worst = krippendorff_alpha(units("ab", "ba"))
    assert worst is not None
    assert worst < 0


VALUES = st.lists(st.lists(st.sampled_from("abc."), min_size=3, max_size=3), max_size=12)


@given(VALUES, st.permutations("abc"))
def test_names_of_coders_and_values_do_not_matter(
    said: list[list[str]], names: Sequence[str]
) -> None:
    renamed = {**dict(zip("abc", names, strict=True)), ".": "."}
    before = krippendorff_alpha(units(*zip(*said, strict=True))) if said else None
    changed = [[renamed[value] for value in reversed(unit)] for unit in said]
    after = krippendorff_alpha(units(*zip(*changed, strict=True))) if said else None
    assert before == (None if after is None else pytest.approx(after))
    if before is not None:
        assert before <= 1


def say(person: str, *things: tuple[str, Box], scope: Scope = EVERYTHING) -> Statement:
    items = tuple(AnswerItem("add", "label", label, box) for label, box in things)
    return Statement(person, items, True, scope)


def test_by_label_and_by_person() -> None:
    found = agreement_of(
        [
            [say("ann", ("cat", LEFT), ("dog", RIGHT)), say("ben", ("cat", LEFT), ("fox", RIGHT))],
            [say("ann", ("cat", LEFT)), say("ben", ("cat", LEFT)), say("cid")],
            [say("ann", ("cat", LEFT))],
        ]
    )
    assert (found.images, found.total.things) == (2, 3)
    # ann and ben: 2 + 2 and 1 + 1 things with 1 + 1 pairs; ann and cid, ben and cid: 1 thing each.
    assert found.total.f1 == pytest.approx(2 * 2 / 8)
    assert found.by_label["cat"].f1 == pytest.approx(2 * 2 / 6)
    assert found.by_label["dog"].f1 == 0
    assert found.by_person["cid"].f1 == 0
    assert found.by_person["ann"].f1 == pytest.approx(2 * 2 / 7)
    assert found.total.alpha is not None
    assert found.total.alpha < 1


def test_outside_the_scope_of_the_other_there_is_no_disagreement() -> None:
    cats = say("ben", ("cat", LEFT), scope=Scope(None, ("cat",)))
    found = agreement_of([[say("ann", ("cat", LEFT), ("dog", RIGHT)), cats]])
    assert found.total.f1 == 1
    assert list(found.by_label) == ["cat"]
