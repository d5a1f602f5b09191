"""Parse detectors with their options, as in settings and on the command line."""

import json
import re
from collections.abc import Collection
from typing import TypeAlias

from pydantic import JsonValue

Detectors: TypeAlias = dict[str, dict[str, JsonValue]]
"""Options by detector name, in the order of the text."""

EXAMPLE = "onnx-objects:threshold=0.5,onnx-faces"

_NAME = re.compile(r"\s*([\w-]+)\s*(:|(?=,|\Z))")
_OPTION = re.compile(r"\s*(\w+)\s*=\s*")
_COMMA = re.compile(r"\s*(,|\Z)")


def parse_detectors(text: str) -> Detectors:
    """Parse ``a,b:threshold=0.5,labels=["x","y"]``, or JSON such as ``{"b": {"threshold": 0.5}}``.

    An option belongs to the name before it. Its value is JSON if it parses as JSON, and otherwise
    the text up to the next comma.

    Raises:
        ValueError: The text has neither form, or names a detector or an option twice.
    """
    if text.lstrip().startswith("{"):
        try:
            parsed: Detectors = json.loads(text)  # pydantic checks its content
        except (ValueError, RecursionError) as error:
            raise ValueError(f'must be JSON such as {{"NAME": {{}}}}: {error}') from error
        return parsed
    found: Detectors = {}
    options: dict[str, JsonValue] | None = None
    at = 0
    while at < len(text):
        if comma := _COMMA.match(text, at):
            at = comma.end()
            continue
        begin, name = at, _NAME.match(text, at)
        if name is not None:
            if name[1] in found:
                raise ValueError(f"names {name[1]} twice")
            options = found[name[1]] = {}
            at = name.end()
        if name is None or name[2] == ":":
            option = _OPTION.match(text, at)
            if option is None or options is None:
                raise ValueError(f"must be like {EXAMPLE}, or JSON, and not {_short(text[begin:])}")
            if option[1] in options:
                raise ValueError(f"gives the option {option[1]} twice")
            options[option[1]], at = _value(text, option.end())
    if not found:
        raise ValueError(f"names no detector: write names, such as {EXAMPLE}, or JSON")
    return found


def _value(text: str, at: int) -> tuple[JsonValue, int]:
    """Return an option's value, and its end."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, at)
        if _COMMA.match(text, end):
            return value, end
    except (ValueError, RecursionError):
        pass
    end = text.find(",", at)
    end = len(text) if end < 0 else end
    return text[at:end].strip(), end


def check_named(names: Collection[str], detectors: Collection[str]) -> None:
    """Raise for settings of detectors that the worker doesn't have.

    Raises:
        ValueError: The message names them, and the worker's detectors.
    """
    for name in names:
        if name not in detectors:
            chosen = ", ".join(detectors) or "none"
            raise ValueError(
                f"{name} isn't one of the detectors ({chosen}): add it to them, or remove it here"
            )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
