"""JSON values, as raw responses and attributes are made of."""

import json
import marshal
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What ``json.dumps`` writes: numbers must be finite when a run is recorded."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""NUL as JSON writes it, which a backslash followed by ``u0000`` is not."""


def encoded(value: object) -> bytes:
    """``value`` as JSON that the history can keep: in UTF-8, without blanks.

    Raises:
        TypeError: Something in it is no JSON.
        ValueError: It holds NaN, an infinity, NUL or an unpaired surrogate.
        RecursionError: It is nested too deeply, or contains itself.
    """
    text = _quickly(value)
    if text is None:
        text = _slowly(value).encode()
    if b"\\" in text and b"\\u0000" in text and _NUL.search(text):  # the quickest question first
        raise ValueError("it contains NUL, which PostgreSQL cannot hold")
    return text


def _quickly(value: Any) -> bytes | None:
    """``value`` as JSON if it is surely fine, found out in a third of the time."""
    try:
        text = orjson.dumps(value)
        marshal.dumps(value)  # refuses whatever else orjson writes: dates, UUIDs, enums, subclasses
    except (TypeError, ValueError):
        return None
    return None if b"null" in text else text  # orjson writes NaN as null


def _plain(value: object) -> object:
    """What ``json`` does not know and the SDK allows: mappings that are no ``dict``."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


# What contains itself ends in a RecursionError all the same, without a look at each object.
_slowly = json.JSONEncoder(
    check_circular=False,
    ensure_ascii=False,
    allow_nan=False,
    separators=(",", ":"),
    default=_plain,
).encode
