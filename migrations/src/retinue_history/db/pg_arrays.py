"""Turn lists into Postgres array literals: one text a column, for any number of rows.

psycopg would adapt each element separately, which costs more than the rest of a commit. Values that
Postgres can't store are refused here, with the name of the field, before anything is sent.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from uuid import UUID

import orjson

from retinue_history.db.errors import HistoryDataError


def texts(field: str, values: Sequence[str | None]) -> str:
    """Return a ``text[]``.

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


def uuids(values: Sequence[UUID]) -> str:
    """Return a ``uuid[]``."""
    return _braced(orjson.dumps(values))


def booleans(values: Iterable[bool]) -> str:
    """Return a ``boolean[]``."""
    return _array(["t" if value else "f" for value in values])


def integers(values: Sequence[int | None]) -> str:
    """Return an ``int[]`` or ``bigint[]``."""
    return _numbers(values, int) or _array(
        ["NULL" if value is None else str(value) for value in values]
    )


def floats(values: Sequence[float | None]) -> str:
    """Return a ``double precision[]``, with all digits."""
    return _numbers(values, float) or _array(
        ["NULL" if value is None else repr(float(value)) for value in values]
    )


def decimals(values: Iterable[Decimal | None]) -> str:
    """Return a ``numeric[]``."""
    return _array(["NULL" if value is None else str(Decimal(value)) for value in values])


def times(field: str, values: Sequence[datetime | None]) -> str:
    """Return a ``timestamptz[]``.

    Raises:
        HistoryDataError: One has no time zone.
    """
    zones = {value.tzinfo for value in values if value is not None}
    if zones <= {UTC}:
        return _braced(orjson.dumps(values))  # a tenth of the time of `isoformat`
    for value in values:
        if value is not None and value.tzinfo is None:
            raise HistoryDataError(f"{field} {value} has no time zone")
    return _array(["NULL" if value is None else value.isoformat() for value in values])


def jsons(values: Iterable[str]) -> str:
    """Return JSON texts as one JSON array, which Postgres reads faster than a ``jsonb[]``."""
    return f"[{','.join(values)}]"


def _array(elements: list[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _braced(values: bytes) -> str:
    """Return a JSON array as a Postgres array, where ``null`` may be in lower case."""
    return "{" + values[1:-1].decode() + "}"


def _numbers(values: Sequence[float | None], kind: type) -> str | None:
    """Return the array in a fifth of the time; ``None`` for NaN or another type."""
    kinds = set(map(type, values))
    if not kinds <= {kind, NoneType}:
        return None
    try:
        literal = orjson.dumps(values)
    except TypeError:  # an integer beyond 64 bits
        return None
    nulls = values.count(None) if NoneType in kinds else 0
    return _braced(literal) if literal.count(b"n") == nulls else None  # orjson writes NaN as null


def _simple(values: Sequence[str | None]) -> str | None:
    """Return the array in a fifth of the time; ``None`` for a NULL or an escape."""
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
