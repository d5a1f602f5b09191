"""Numbers for labels, as COCO and Ground Truth want them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retinue_history.analysis.exported_rows import CATEGORIES
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import ConfigurationError

TEXT = "text"
"""The kind of what was read in an image, and the category of all that was."""


@dataclass(frozen=True, slots=True)
class Category:
    """A label with its number.

    Attributes:
        number: At least 0.
        name: The label.
        group: The kind of detection; or the super-category, if the number comes from a file.
    """

    number: int
    name: str
    group: str


class Categories:
    """A number for every kind and label in the whole history, not only in what is selected.

    So two exports of one history agree, whatever each selects. To agree with an older export or a
    data set too, give its categories; labels that are not among them are numbered after them. What
    was read in an image (kind ``text``) is in the category ``text``, whatever it says.

    Args:
        names: Every kind and label, in a fixed order.
        given: Categories that have numbers already. One of another group stands for the kind
            ``label``.
    """

    def __init__(self, names: Iterable[tuple[str, str]], given: Iterable[Category] = ()) -> None:
        """Number what has no number yet, from 1."""
        self._all = list(given)
        exact = {(one.group, one.name): one.number for one in self._all}
        by_name = {("label", one.name): one.number for one in self._all}
        self._numbers = by_name | exact
        self._last = max((one.number for one in self._all), default=0)
        for kind, label in names:
            self.number(kind, label)

    @classmethod
    def of(cls, snapshot: Snapshot, earlier: Path | None = None) -> "Categories":
        """Those of a history.

        Args:
            snapshot: The history.
            earlier: A COCO file whose numbers to keep.

        Raises:
            ConfigurationError: The file has no categories that can be read.
        """
        given = () if earlier is None else _read(earlier)
        return cls(snapshot.rows(CATEGORIES), given)

    def number(self, kind: str, label: str) -> int:
        """The number of a kind and label; a new one, if it has none yet."""
        named = (kind, self.name(kind, label))
        if named not in self._numbers:
            self._last += 1
            self._numbers[named] = self._last
            self._all.append(Category(self._last, named[1], kind))
        return self._numbers[named]

    @staticmethod
    def name(kind: str, label: str) -> str:
        """Return what the category of a kind and label is called."""
        return TEXT if kind == TEXT else label

    def __iter__(self) -> Iterator[Category]:
        """All of them, in the order of their numbers."""
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
