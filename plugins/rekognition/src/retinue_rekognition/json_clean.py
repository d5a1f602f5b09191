"""Answers of a service as JSON that every database stores."""

import base64
import math
from datetime import date, datetime
from typing import Any

from retinue_sdk import Json

_REPLACEMENT = "\ufffd"


def clean(value: Any) -> Json:
    """The same value without what JSON or Postgres cannot hold.

    NaN and infinities become ``None``, NUL and unpaired surrogates U+FFFD, dates ISO 8601 text,
    bytes base64, and what is unknown its text.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return clean_text(value)
        case dict():
            return {clean_text(str(key)): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
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
