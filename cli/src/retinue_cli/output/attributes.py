"""Format attributes of a detection."""

from collections.abc import Mapping

from pydantic import JsonValue


def brief(attributes: Mapping[str, JsonValue]) -> str:
    """Return the attributes with single values in one line, without control characters."""
    return ", ".join(
        f"{printable(name)} {printable(str(value))}"
        for name, value in attributes.items()
        if isinstance(value, str | int | float)
    )


def printable(text: str) -> str:
    """Return a text without control characters, which could control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
