"""An answer about an image, with a copy of each finding that was shown."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from retinue_history.recording.records import Box
from retinue_history.review.truth import EVERYTHING, Scope

Decision: TypeAlias = Literal["accept", "reject", "change", "add", "unsure"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy of a finding that was shown, since detections are dropped by the month.

    Attributes:
        detection_id: Its row number, while the row exists.
        run_id: The run that made it.
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, as the detector reported it.
        kind: The kind of finding.
        label: The label.
        confidence: 0 to 1.
        box: Its place; ``None`` if the detector reported none.
        attributes: Everything else that the detector returned.
    """

    detection_id: int
    run_id: int
    detector: str
    detector_version: str
    model_version: str | None
    kind: str
    label: str
    confidence: float
    box: Box | None
    attributes: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as ``answer_items.shown`` holds it."""
        return {name: getattr(self, name) for name in Shown.__slots__}

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> "Shown":
        """Return the value of ``answer_items.shown``."""
        return cls(**{**given, "box": None if given["box"] is None else tuple(given["box"])})


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """One thing of an answer.

    Attributes:
        decision: accept, reject, change (another label or box), add, or unsure.
        kind: The kind of thing.
        label: The person's label; for reject and unsure, the one that was shown.
        box: The person's box.
        shown: The finding that was shown; ``None`` only for ``add``.
        attributes: Everything else that is known of it.
    """

    decision: Decision
    kind: str
    label: str
    box: Box | None = None
    shown: Shown | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an item that contradicts itself."""
        if (self.decision == "add") != (self.shown is None):
            raise ValueError("an item must be either added or shown")

    @classmethod
    def of(cls, decision: Literal["accept", "reject", "unsure"], shown: Shown) -> "AnswerItem":
        """Return an item for a detection that was shown, with a decision about it."""
        return cls(decision, shown.kind, shown.label, shown.box, shown)

    def as_json(self) -> dict[str, Any]:
        """Return the item as the JSON that the database's functions take."""
        return {
            "decision": self.decision,
            "kind": self.kind,
            "label": self.label,
            "box": None if self.box is None else list(self.box),
            "shown": None if self.shown is None else self.shown.as_json(),
            "attributes": self.attributes,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer about an image; a later answer of the same person replaces it.

    Attributes:
        items: A decision about each thing that was shown, and what was added.
        exhaustive: Whether everything within the scope is marked.
        scope: Labels that the person looked for.
        seconds: How long the person looked at the image; ``None`` if unknown.
        adjudicates: Whether it settles the image alone, after others disagreed.
    """

    items: tuple[AnswerItem, ...]
    exhaustive: bool
    scope: Scope = EVERYTHING
    seconds: float | None = None
    adjudicates: bool = False


def item_of_row(row: dict[str, Any]) -> AnswerItem:
    """Return the item of a row of ``answer_items``, as JSON has it."""
    left, top, width, height = (row[f"box_{side}"] for side in ("left", "top", "width", "height"))
    return AnswerItem(
        row["decision"],
        row["kind"],
        row["label"],
        None if left is None else (left, top, width, height),
        None if row["shown"] is None else Shown.of_json(row["shown"]),
        row["attributes"],
    )
