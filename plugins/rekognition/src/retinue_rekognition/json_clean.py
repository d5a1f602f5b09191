"""Convert a service's answers to JSON that every database stores."""

import base64
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson
from retinue_sdk import Json

DEEPEST = 254
"""Maximum nesting, which is also orjson's. Answers of AWS have about 10 levels."""

_REPLACEMENT = "\ufffd"


def clean(value: Any) -> Json:
    """Return a value without parts that JSON or Postgres can't store, or the value itself.

    NaN and infinities become ``None``, NUL and unpaired surrogates U+FFFD, dates ISO 8601 text,
    bytes base64, and unknown objects their text. UUIDs and enums aren't handled, because answers
    have none.

    Raises:
        RecursionError: It is nested more than ``DEEPEST`` levels deep.
    """
    return value if _is_clean(value) else _cleaned(value)


def _is_clean(value: Any) -> bool:
    """Return whether a value needs no change, which is usual."""
    try:
        text = orjson.dumps(value, None, _PLAIN)
    except TypeError:
        return False
    if b"\\" in text and b"\\u0000" in text:
        return False
    return b"null" not in text  # orjson writes NaN as null


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
    """Return the text with NUL and unpaired surrogates replaced."""
    if text.isascii():
        return text.replace("\0", _REPLACEMENT)
    text = text.replace("\0", _REPLACEMENT)
    return "".join(_REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)
