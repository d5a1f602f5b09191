"""Number labels, for COCO and Ground Truth."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retinue_history.analysis.exported_rows import CATEGORIES
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import ConfigurationError

TEXT = "text"
"""The kind of recognized texts, and the category of all of them."""


@dataclass(frozen=True, slots=True)
class Category:
    """A label with its number.

    Attributes:
        number: At least 0.
        name: The label.
        group: The kind of detection, or the super-category of an earlier file.
    """

    number: int
    name: str
    group: str


class Categories:
    """Numbers for all kinds and labels in the whole history, even if an export selects few.

    Two exports of one history therefore agree. To agree with an older export or a data set, pass
    its categories. Other labels are numbered after them. All recognized texts (kind ``text``) are
    in the category ``text``.

    Args:
        names: Every kind and label, in a fixed order.
        given: Categories that already have numbers. An unknown group means the kind ``label``.
    """

    def __init__(self, names: Iterable[tuple[str, str]], given: Iterable[Category] = ()) -> None:
        self._all = list(given)
        exact = {(one.group, one.name): one.number for one in self._all}
        by_name = {("label", one.name): one.number for one in self._all}
        self._numbers = by_name | exact
        self._last = max((one.number for one in self._all), default=0)
        for kind, label in names:
            self.number(kind, label)

    @classmethod
    def of(cls, snapshot: Snapshot, earlier: Path | None = None) -> "Categories":
        """Return the categories of a history.

        Args:
            snapshot: The history.
            earlier: A COCO file whose numbers are kept.

        Raises:
            ConfigurationError: The file has no readable categories.
        """
        given = () if earlier is None else _read(earlier)
        return cls(snapshot.rows(CATEGORIES), given)

    def number(self, kind: str, label: str) -> int:
        """Return the number of a kind and label. Assign a new one if it has none."""
        named = (kind, self.name(kind, label))
        if named not in self._numbers:
            self._last += 1
            self._numbers[named] = self._last
            self._all.append(Category(self._last, named[1], kind))
        return self._numbers[named]

    @staticmethod
    def name(kind: str, label: str) -> str:
        """Return the category name of a kind and label."""
        return TEXT if kind == TEXT else label

    def __iter__(self) -> Iterator[Category]:
        """Yield all categories, ordered by number."""
        return iter(sorted(self._all, key=lambda one: one.number))


def _read(path: Path) -> list[Category]:
    try:
        categories = [
            Category(int(one["id"]), str(one["name"]), str(one.get("supercategory") or "label"))
            for one in json.loads(path.read_bytes())["categories"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"--categories {path}: not a COCO file with categories ({error!r})"
        ) from error
    if len({one.number for one in categories}) != len(categories):
        raise ConfigurationError(f"--categories {path}: two categories have the same id")
    return categories
