"""Filters and cursors: what an address may have, and that the same address comes back."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from retinue_console.queries.cursor import Cursor
from retinue_console.queries.filters import MAX_TEXT_BYTES, Filters

NUMBERS = st.integers(0, 2**63 - 1)
MOMENTS = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001, hypothesis adds the zone
    datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
CURSORS = st.one_of(
    st.builds(Cursor, st.just("uploaded"), MOMENTS, st.uuids(), backward=st.booleans()),
    st.builds(Cursor, st.just("found"), MOMENTS, st.uuids(), NUMBERS),
    st.builds(Cursor, st.just("patches-found"), MOMENTS, number=NUMBERS),
    st.builds(Cursor, st.just("recorded"), number=NUMBERS),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=100)
SURE = st.floats(0, 1)


@given(CURSORS)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@given(st.one_of(st.text(), st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode())))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="isn't a position in a list"):
        Cursor.parse(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=8,
)


@given(st.lists(VALUES | st.sampled_from(["uploaded", "found", "recorded"]), max_size=6) | VALUES)
def test_a_forged_cursor_is_refused_or_reads_as_it_is_written(values: Any) -> None:
    text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert str(cursor) == text


def test_a_cursor_has_one_spelling() -> None:
    text = str(Cursor("recorded", number=7))
    for other in (text + "=", text + "\n", " " + text, text.swapcase(), text[:-1]):
        with pytest.raises(ValueError, match="isn't a position in a list"):
            Cursor.parse(other)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "label": TEXTS,
            "parent": TEXTS,
            "kind": TEXTS,
            "detector": TEXTS,
            "version": TEXTS,
            "prefix": TEXTS.filter(lambda text: not text.startswith("s3://")),
            "min_confidence": SURE,
            "since": MOMENTS,
            "reviewed": st.booleans(),
            "after": CURSORS,
        },
    )
)
def test_filters_come_back_from_their_address(given: dict[str, Any]) -> None:
    filters = Filters(**given)
    assert Filters.model_validate(filters.parameters()) == filters


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("label", "a\0b", "NUL"),
        ("label", "\ud800", "lone surrogate"),
        ("prefix", "x" * (MAX_TEXT_BYTES + 1), "2,049 bytes"),
        ("prefix", "s3:///key", "names no bucket"),
        ("min_confidence", "1.1", "less than or equal to 1"),
        ("min_confidence", "nan", "finite"),
        ("max_confidence", "much", "valid number"),
        ("since", "yesterday", "is not a time"),
        ("since", "0001-01-01T00:00+14:00", "outside of the years"),
        ("until", "99999999w", "is not a time"),
        ("after", "W10", "isn't a position in a list"),
        ("colour", "red", "not permitted"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Filters.model_validate({name: text})
    [error] = refused.value.errors()
    assert error["loc"] == (name,)
    assert message in error["msg"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_confidence": "0.8", "max_confidence": "0.2"}, "0.8 is above max_confidence 0.2"),
        ({"since": "2026-01-02", "until": "2026-01-02"}, "since is not before until"),
    ],
)
def test_an_empty_range_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Filters.model_validate(given)


def test_fields_that_were_not_filled_in_restrict_nothing() -> None:
    assert Filters.model_validate({"label": "", "since": "", "after": ""}) == Filters()


def test_times_are_in_utc_unless_they_say_otherwise() -> None:
    filters = Filters.model_validate({"since": "2026-01-31", "until": "2026-01-31T12:00+01:00"})
    assert filters.parameters() == {
        "since": "2026-01-31T00:00:00Z",
        "until": "2026-01-31T11:00:00Z",
    }
