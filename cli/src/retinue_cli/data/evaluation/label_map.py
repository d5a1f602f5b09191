"""Map labels of a detector to labels of the ground truth."""

from collections.abc import Iterable, Mapping

from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import did_you_mean

SHOWN = 10
"""Maximum number of labels in a message."""


class LabelMap:
    """Translates a detector's labels.

    A label means the equal label, otherwise the only one that differs in case. ``given`` takes
    precedence over both.

    Args:
        labels: The labels of the ground truth.
        given: Labels of the detector, each with its meaning.

    Raises:
        ConfigurationError: A given meaning isn't a label of the ground truth.
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
                raise ConfigurationError(
                    f"--map: the ground truth has no label {meaning!r}"
                    f"{did_you_mean(meaning, self._labels)}; it has {listed(self._labels)}"
                )

    def meaning(self, label: str) -> str | None:
        """Return the ground truth's label for a detector's label, if any."""
        if label in self._given:
            return self._given[label]
        return label if label in self._labels else self._folded.get(label.casefold())


def listed(labels: Iterable[str]) -> str:
    """Return some labels and the number of the others, for a message."""
    ordered = sorted(labels)
    more = f" and {len(ordered) - SHOWN:,} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more if ordered else "none"
