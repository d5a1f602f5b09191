"""An answer is stored as it came, but for what JSON and Postgres cannot hold."""

import json
import math
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from retinue_rekognition import json_clean
from retinue_sdk.json_value import encode_json

texts = st.text(st.characters()) | st.sampled_from(["\0", "\ud800", "null", "\\u0000", "\\\0"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary()
    | st.sampled_from([datetime.now(UTC), date(2026, 1, 1), 1j, 2**64, -(2**63) - 1]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=2).map(MappingProxyType)
    ),
)


def stored(value: Any) -> str:
    """Return a value as the history returns it, with 1 and 1.0 distinguished."""
    return repr(json.loads(encode_json(value)))


@given(values)
@example({"a": [None, math.nan]})
@example("cat \U0001f408")
def test_looking_first_changes_nothing(value: Any) -> None:
    assert stored(json_clean.clean(value)) == stored(json_clean._cleaned(value))


@given(values)
def test_what_is_clean_can_be_recorded(value: Any) -> None:
    encode_json(json_clean.clean(value))


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        (math.inf, None),
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        (b"\xff", "/w=="),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (1j, "1j"),
    ],
)
def test_what_becomes_of_the_rest(dirty: Any, clean: Any) -> None:
    assert json_clean.clean({"a": [dirty]}) == {"a": [clean]}


def test_what_is_fine_is_not_copied() -> None:
    answer = {"Labels": [{"Name": "Dog", "Confidence": 99.5, "Parents": []}]}
    assert json_clean.clean(answer) is answer
