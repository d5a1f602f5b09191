"""The history's JSON equals that of Python's own encoder."""

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from retinue_sdk.json_value import encode_each, encode_json


class Colour(Enum):
    RED = "red"
    NONE = None


class Size(IntEnum):
    LARGE = 3


class Word(StrEnum):
    HELLO = "hello"


class Pair(NamedTuple):
    left: int
    right: int


def plainly(value: Any) -> Any:
    """Return the value that JSON gives back with the standard library; raise if it isn't JSON."""
    try:
        text = json.dumps(
            value, allow_nan=False, check_circular=False, ensure_ascii=False, default=_plain
        )
        back = json.loads(text)
        for part in _texts(back):
            if "\0" in part:
                return "refused"
            part.encode()
    except (TypeError, ValueError, RecursionError):
        return "refused"
    return back


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))


def kept(value: Any) -> Any:
    """Return the encoded value, read back."""
    try:
        return json.loads(encode_json(value))
    except (TypeError, ValueError, RecursionError):
        return "refused"


texts = st.text(st.characters()) | st.sampled_from(["\0", "\ud800", "\\u0000", "\\\0", "null"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([*Colour, *Size, *Word, Pair(1, 2), UUID(int=7), datetime.now(UTC)])
    | st.sampled_from([1j, b"x", bytearray(b"x"), Decimal(1), frozenset({1}), ..., 2**64]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            texts | st.sampled_from([1, None, Size.LARGE, Word.HELLO]), inner, max_size=4
        )
        | st.dictionaries(texts, inner, max_size=2).map(MappingProxyType)
        | st.dictionaries(texts, inner, max_size=2).map(OrderedDict)
    ),
)


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@given(values)
@example(nested(300))
@example([2**64 - 1, -(2**63), 10**400, 1e-7, 5e-324, 1e308])
@example([None, math.nan])
@example({"a": None, "null": ["nullify"]})
@example("\\\\u0000 \ud83d\ude00")
@example("\u2028 \x1f \x7f \U0001f600 é")
def test_it_is_what_pythons_own_encoder_makes_of_it(value: Any) -> None:
    assert repr(kept(value)) == repr(plainly(value))


@given(st.lists(values, max_size=3))
@example([{"a": 1}, {"a": math.nan}])
@example(["a", "\0"])
def test_several_are_encoded_as_each_alone(several: list[Any]) -> None:
    def told(encode: Callable[[], list[str]]) -> object:
        try:
            return encode()
        except (TypeError, ValueError, RecursionError) as error:
            return type(error), str(error)

    each = told(lambda: [encode_json(value) for value in several])
    assert told(lambda: encode_each(several)) == each


@pytest.mark.parametrize("value", [datetime.now(UTC), datetime.now(UTC).date(), Decimal(1), 1j])
def test_what_has_several_forms_in_json_is_refused(value: Any) -> None:
    for wrapped in (value, [value], {"a": {"b": value}}, [None, value]):
        with pytest.raises(TypeError):
            encode_json(wrapped)


@pytest.mark.parametrize(
    ("value", "text"),
    [(UUID(int=7), f'"{UUID(int=7)}"'), (Colour.RED, '"red"'), (Size.LARGE, "3")],
)
def test_ids_and_enums_are_written_as_texts_and_values(value: Any, text: str) -> None:
    assert encode_json([value]) == f"[{text}]"
    assert encode_json([value, None]) == f"[{text},null]"


@pytest.mark.parametrize(
    ("value", "why"), [("a\0", "NUL"), (math.inf, "range"), ("\ud800", "surr")]
)
def test_a_refusal_says_why(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        encode_json({"a": [value]})


def test_endless_nesting_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for endless in (nested(100_000), circle):
        with pytest.raises(RecursionError):
            encode_json(endless)


def test_it_has_no_blanks_and_no_escapes() -> None:
    assert encode_json({"é": [1, None, 2.5]}) == '{"é":[1,null,2.5]}'
    assert encode_json({"é": [1, 2.5]}) == '{"é":[1,2.5]}'
