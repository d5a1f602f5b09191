"""The recipes of docs/recipes.md, read from the package's copy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PART = re.compile(
    r"^## (?P<group>[^\n]+)$|^### (?P<title>[^\n]+)$|^```sql\n(?P<sql>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A query that answers a question.

    Attributes:
        group: The heading above it.
        title: The question.
        sql: The query.
    """

    group: str
    title: str
    sql: str


@cache
def recipes() -> tuple[Recipe, ...]:
    """Return all recipes, in the page's order."""
    text = files("retinue_console").joinpath("recipes.md").read_text(encoding="utf-8")
    return tuple(_parse(text))


def _parse(page: str) -> Iterator[Recipe]:
    group = title = ""
    for part in _PART.finditer(page):
        if part["group"]:
            group = title = part["group"]
        elif part["title"]:
            title = part["title"]
        else:
            yield Recipe(group, title, part["sql"].rstrip())
