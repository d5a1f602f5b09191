"""Which label of a detector means which label of the ground truth."""

import difflib
from collections.abc import Iterable, Mapping

from retinue_sdk import ConfigurationError

SHOWN = 10
"""Most labels that a message lists."""


class LabelMap:
    """Translates a detector's labels.

    A label means the one that is written the same, else the one that differs in capitals alone,
    unless there are two of those. ``given`` takes precedence over both.

    Args:
        labels: Those of the ground truth.
        given: Labels of the detector, each with the one it means.

    Raises:
        ConfigurationError: One is given a meaning that the ground truth does not have.
    """

    def __init__(self, labels: Iterable[str], given: Mapping[str, str] | None = None) -> None:
        self._labels = frozenset(labels)
        folded: dict[str, list[str]] = {}
        for label in self._labels:
            folded.setdefault(label.casefold(), []).append(label)
        self._folded = {name: same[0] for name, same in folded.items() if len(same) == 1}
        self._given = dict(given or {})
        for meaning in self._given.values():
            if meaning not in self._labels:
                near = difflib.get_close_matches(meaning, self._labels, n=1)
                raise ConfigurationError(
                    f"--map: the ground truth has no label {meaning!r}"
                    + (f"; did you mean {near[0]!r}?" if near else "")
                    + f" It has {listed(self._labels)}"
                )

    def meaning(self, label: str) -> str | None:
        """The label of the ground truth that a detector's label means; none if there is none."""
        if label in self._given:
            return self._given[label]
        return label if label in self._labels else self._folded.get(label.casefold())


def listed(labels: Iterable[str]) -> str:
    """Some labels and how many more, for a message."""
    ordered = sorted(labels)
    more = f" and {len(ordered) - SHOWN:,} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more if ordered else "none"
