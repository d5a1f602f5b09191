"""Keep people's names from everyone but admins.

A face that was recognized has a label that is derived from the person's name. People who aren't
admins see only that a known person is there.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from retinue_cli.faces.external_id import PREFIX

SOMEONE = "a known person"
"""The text instead of a person's id."""

FACE_MATCH = "face_match"
"""The kind of detections whose label is a person."""


def names_someone(text: str) -> bool:
    """Return whether a text is a person's id."""
    return text.startswith(PREFIX)


def any_names_someone(value: Any) -> bool:
    """Return whether a value, such as a request's body, has a person's id in it."""
    if isinstance(value, str):
        return names_someone(value)
    if isinstance(value, dict):
        return any_names_someone([*value, *value.values()])
    return isinstance(value, list | tuple) and any(map(any_names_someone, value))


def without_people(value: Any) -> Any:
    """Return a value, such as the data of a page, with each person's id replaced."""
    if isinstance(value, str):
        return SOMEONE if names_someone(value) else value
    if isinstance(value, dict):
        return {without_people(key): without_people(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(without_people, value))
    if isinstance(value, list | tuple):
        return type(value)(map(without_people, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{each.name: without_people(getattr(value, each.name)) for each in fields(value)},
        )
    return value
