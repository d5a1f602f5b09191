"""Read selected images, each with its detections."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.exported_rows import image_rows
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox, ImageReference


@dataclass(frozen=True, slots=True)
class SelectedDetection:
    """A detection, with data of its run.

    Attributes:
        run_id: The run that made it.
        detector: The detector's name.
        detected_at: When the detector was called.
        imported: Whether it was imported.
        kind: The kind of detection.
        label: The label.
        confidence: 0 to 1.
        box: The box in ratios of the displayed image, if any.
        attributes: Other attributes.
    """

    run_id: int
    detector: str
    detected_at: datetime
    imported: bool
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None
    attributes: dict[str, Any]


@dataclass(slots=True)
class SelectedImage:
    """An image with a selected run.

    Attributes:
        reference: The image's identity.
        image_id: Its id.
        size_px: Width and height as displayed; ``None`` if it was never decoded.
        looked_at: The time of the last selected run.
        imported: Whether every selected run was imported.
        detections: The selected detections; may be empty.
    """

    reference: ImageReference
    image_id: UUID
    size_px: tuple[int, int] | None
    looked_at: datetime
    imported: bool
    detections: list[SelectedDetection] = field(default_factory=list)

    @property
    def human(self) -> bool:
        """Return whether all detections were imported from people's annotations."""
        return self.imported and all(
            one.attributes.get("human_annotated") is not False for one in self.detections
        )


def selected_images(
    snapshot: Snapshot, selection: Selection, side: Side | None = None
) -> Iterator[SelectedImage]:
    """Yield every image with a selected run, ordered by id.

    Args:
        snapshot: The history.
        selection: The selected part.
        side: For each image, only the newest selected run of this side.

    Raises:
        HistoryUnavailableError: The database doesn't answer any more.
    """
    rows = snapshot.rows(image_rows(selection, side))
    for _, group in groupby(rows, key=lambda row: row[0]):
        yield _image(list(group))


def _image(rows: list[tuple[Any, ...]]) -> SelectedImage:
    image_id, bucket, key, version, versioned, width_px, height_px = rows[0][:7]
    return SelectedImage(
        reference=ImageReference(
            bucket,
            key,
            version_id=version if versioned else None,
            etag=None if versioned else version,
        ),
        image_id=image_id,
        size_px=None if width_px is None else (width_px, height_px),
        looked_at=max(row[9] for row in rows),
        imported=all(row[10] for row in rows),
        detections=[_detection(row) for row in rows if row[11] is not None],
    )


def _detection(row: tuple[Any, ...]) -> SelectedDetection:
    run_id, detector, detected_at, imported, kind, label, confidence = row[7:14]
    left, top, width, height, attributes = row[14:]
    box = None if left is None else BoundingBox(left, top, width, height)
    return SelectedDetection(
        run_id, detector, detected_at, imported, kind, label, confidence, box, attributes
    )
