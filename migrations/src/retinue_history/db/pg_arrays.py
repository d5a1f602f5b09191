"""Lists turned into Postgres array literals: one text per column, however many rows.

psycopg would ask of each element how to write it, which costs more than the rest of a commit. What
Postgres cannot hold is refused here, with the name of the field, before anything is sent.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import TypeAlias
from uuid import UUID

import orjson

from retinue_history.db.errors import HistoryDataError

JSON: TypeAlias = (
    Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None  # no NaN, no infinity
)
"""A value that JSON can express."""


def texts(field: str, values: Sequence[str | None]) -> str:
    """A ``text[]``.

    Raises:
        HistoryDataError: One holds NUL or a lone surrogate.
    """
    literal = _simple(values) or _array(
        ["NULL" if value is None else _quoted(value) for value in values]
    )
    if "\0" in literal or not (literal.isascii() or _is_unicode(literal)):
        for value in values:
            _refuse_unholdable(field, value)
    return literal


def uuids(values: Iterable[UUID]) -> str:
    """A ``uuid[]``."""
    return _array([value.hex for value in values])


def booleans(values: Iterable[bool]) -> str:
    """A ``boolean[]``."""
    return _array(["t" if value else "f" for value in values])


def integers(values: Sequence[int | None]) -> str:
    """An ``int[]`` or ``bigint[]``."""
    return _numbers(values, _INTEGERS) or _array(
        ["NULL" if value is None else str(value) for value in values]
    )


def floats(values: Sequence[float | None]) -> str:
    """A ``double precision[]``, with all digits."""
    return _numbers(values, _FLOATS) or _array(
        ["NULL" if value is None else repr(float(value)) for value in values]
    )


def decimals(values: Iterable[Decimal | None]) -> str:
    """A ``numeric[]``."""
    return _array(["NULL" if value is None else str(Decimal(value)) for value in values])


def times(field: str, values: Sequence[datetime]) -> str:
    """A ``timestamptz[]``.

    Raises:
        HistoryDataError: One has no time zone.
    """
    for value in values:
        if value.tzinfo is None:
            raise HistoryDataError(f"{field} {value} has no time zone")
    return _array([value.isoformat() for value in values])


def jsons(field: str, values: Iterable[JSON | Mapping[str, JSON]]) -> str:
    """A ``jsonb[]``; ``None`` becomes SQL's null.

    Raises:
        HistoryDataError: One is no JSON, or holds a lone surrogate.
    """
    written = [None if value is None else json_text(field, value) for value in values]
    # JSON has its control characters escaped already, so its own quoting of a text is Postgres's.
    return _braced(orjson.dumps(written))


def json_text(field: str, value: JSON | Mapping[str, JSON]) -> str:
    """One value as JSON. UUIDs become texts and enums their values, though they are no JSON.

    Raises:
        HistoryDataError: It is no JSON, or holds a lone surrogate.
    """
    if value == {}:
        return "{}"  # what most detections have
    try:
        quickly = orjson.dumps(value, None, _PLAIN)
    except TypeError:  # or merely something that is beyond orjson
        return _json_text(field, value)
    # orjson writes NaN as null.
    return _json_text(field, value) if b"null" in quickly else quickly.decode()


def _json_text(field: str, value: JSON | Mapping[str, JSON]) -> str:
    """As ``json_text``, by Python's own encoder, which takes ten times as long."""
    try:
        encoded = _encoder.encode(value)
        if not encoded.isascii():
            encoded.encode()
    except UnicodeEncodeError:
        raise HistoryDataError(
            f"{field} contains a lone surrogate, which is not valid Unicode"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise HistoryDataError(f"{field} cannot be written as JSON: {error}") from error
    # NUL is escaped by now; Postgres refuses that by itself, and says so.
    return encoded


def _array(elements: list[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _braced(values: bytes) -> str:
    """An array of JSON as one of Postgres, which takes ``null`` in lower case, too."""
    return "{" + values[1:-1].decode() + "}"


_INTEGERS: frozenset[type] = frozenset({int, NoneType})
_FLOATS: frozenset[type] = frozenset({float, NoneType})


def _numbers(values: Sequence[float | None], kinds: frozenset[type]) -> str | None:
    """Numbers in a fifth of the time; ``None`` if one is NaN or of another kind than these."""
    if not kinds.issuperset(map(type, values)):
        return None
    try:
        literal = orjson.dumps(values)
    except TypeError:  # an integer beyond 64 bits
        return None
    return _braced(literal) if literal.count(b"null") == values.count(None) else None


def _simple(values: Sequence[str | None]) -> str | None:
    """Texts in a fifth of the time; ``None`` if there is a NULL, or anything to be escaped."""
    try:
        literal = '{"' + '","'.join(values) + '"}'  # type: ignore[arg-type]
    except TypeError:
        return None
    return literal if literal.count('"') == 2 * len(values) and "\\" not in literal else None


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refuse_unholdable(field: str, value: str | None) -> None:
    if value is None:
        return
    if "\0" in value:
        raise HistoryDataError(f"{field} {value[:80]!r} contains NUL, which Postgres cannot hold")
    if not _is_unicode(value):
        raise HistoryDataError(
            f"{field} {value[:80]!r} contains a lone surrogate, which is not valid Unicode"
        )


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: object) -> object:
    """What ``json`` does not know: mappings that are no ``dict``, and what orjson writes anyway."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is not a JSON type")


# What contains itself ends in a RecursionError all the same, without a look at each object.
_encoder = json.JSONEncoder(
    check_circular=False,
    ensure_ascii=False,
    allow_nan=False,
    separators=(",", ":"),
    default=_plain,
)

_PLAIN = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
