"""Answers of a service as JSON that every database stores."""

import base64
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson
from retinue_sdk import Json

DEEPEST = 254
"""The deepest nesting that is kept; also orjson's. Answers of AWS have some 10 levels."""

_REPLACEMENT = "\ufffd"


def clean(value: Any) -> Json:
    """The same value without what JSON or Postgres cannot hold; itself, if nothing is amiss.

    NaN and infinities become ``None``, NUL and unpaired surrogates U+FFFD, dates ISO 8601 text,
    bytes base64, and what is unknown its text. UUIDs and enums, which no answer has, are not
    looked for.

    Raises:
        RecursionError: It is nested more than ``DEEPEST`` levels deep.
    """
    return value if _is_clean(value) else _cleaned(value)


def _is_clean(value: Any) -> bool:
    """Return whether it needs no cleaning, as nearly every answer."""
    try:
        text = orjson.dumps(value, None, _PLAIN)
    except TypeError:
        return False
    return b"null" not in text and b"\\u0000" not in text  # orjson writes NaN as null


_PLAIN = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def _cleaned(value: Any, level: int = 0) -> Json:
    if level > DEEPEST:
        raise RecursionError(f"nested more than {DEEPEST} levels deep")
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return clean_text(value)
        case Mapping():
            return {clean_text(str(key)): _cleaned(item, level + 1) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item, level + 1) for item in value]
        case datetime() | date():
            return value.isoformat()
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """The text with NUL and unpaired surrogates replaced."""
    if text.isascii():
        return text.replace("\0", _REPLACEMENT)
    text = text.replace("\0", _REPLACEMENT)
    return "".join(_REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)
