"""Encode JSON values for raw responses and attributes."""

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeAlias
from uuid import UUID

import orjson

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A value that ``json.dumps`` can write. Numbers must be finite when a run is recorded."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""NUL as JSON writes it. A backslash followed by ``u0000`` isn't NUL."""


def encode_json(value: object) -> str:
    """Return a value as the JSON that PostgreSQL stores, without spaces.

    UUIDs become strings, and enums their values.

    Raises:
        TypeError: A part of it isn't JSON.
        ValueError: It contains NaN, an infinity, NUL or an unpaired surrogate.
        RecursionError: It is nested too deeply, or contains itself.
    """
    try:
        text = orjson.dumps(value, None, _PLAIN).decode()
    except TypeError:  # it isn't JSON, or orjson can't encode it: long integers, deep nesting
        text = "null"
    if "null" in text:  # orjson writes NaN as null
        text = _exact_encoder.encode(value)
        text.encode()  # raises for an unpaired surrogate
    if "\\" in text and "\\u0000" in text and _NUL.search(text):
        raise ValueError("it contains NUL, which PostgreSQL cannot hold")
    return text


def encode_each(values: Sequence[object]) -> list[str]:
    """Return the JSON of each value. Rules and errors are those of ``encode_json``.

    Usual values are checked together, in half of the time.
    """
    try:
        texts = [orjson.dumps(value, None, _PLAIN).decode() for value in values]
    except TypeError:
        return [encode_json(value) for value in values]
    together = "".join(texts)
    if "null" in together or ("\\" in together and "\\u0000" in together):
        return [encode_json(value) for value in values]
    return texts


def _plain(value: object) -> object:
    """Convert what ``json`` can't encode: mappings other than ``dict``, UUIDs and enums."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is not a JSON type")


# A value that contains itself raises RecursionError even without check_circular.
_exact_encoder = json.JSONEncoder(
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
"""Pass the types that ``json`` can't write, or writes differently, to the exact encoder."""
