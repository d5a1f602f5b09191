"""Labels: how often each was found, and how that changes."""

from dataclasses import dataclass
from typing import Any

from retinue_console.page import Call, NotFoundError, Page, Parameters
from retinue_console.queries.filters import Filters, Word
from retinue_console.queries.labels import LabelHistory, Labels, label_history, list_labels


class LabelParameters(Parameters):
    """The parameters of the page of labels."""

    label: Word | None = None
    """Only this label, day by day."""

    q: Word | None = None
    """Only labels with this text in them."""

    kind: Word | None = None
    """Only detections of this kind."""

    detector: Word | None = None
    """Only detections of this detector."""

    version: Word | None = None
    """Only detections of this version of the detector."""


@dataclass(frozen=True, slots=True)
class LabelsPage:
    """The data of the page. One of the two is set.

    Attributes:
        labels: All labels; none if one is asked for.
        history: The label that is asked for.
    """

    labels: Labels | None
    history: LabelHistory | None


def labels(call: Call[LabelParameters]) -> Page[LabelsPage]:
    """Show all labels, or one."""
    given = call.parameters
    filters = Filters(kind=given.kind, detector=given.detector, version=given.version)
    with call.database.read() as connection:
        if given.label is None:
            counted = list_labels(connection, filters, part=given.q)
            data = LabelsPage(counted, None)
            return Page("labels.html", "Labels", data, rows=counted.labels)
        history = label_history(connection, given.label, filters)
    if history is None:
        raise NotFoundError(f"No detector has found the label {given.label}.")
    rows: list[Any] = list(history.series)
    return Page("label.html", given.label, LabelsPage(None, history), rows=rows)
