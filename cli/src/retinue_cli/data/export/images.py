"""Read selected images, each with its detections or its settled truth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.exported_rows import image_rows
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_history.review.truth import (
    MadeBy,
    Scope,
    TruthItem,
    is_truth,
    item_of_row,
    truth_rows,
)
from retinue_sdk import BoundingBox, ImageReference, Media, media_of

from retinue_cli.data.export.outcome import Written


@dataclass(frozen=True, slots=True)
class SelectedDetection:
    """A detection with data of its run, or a thing of a settled truth.

    Attributes:
        run_id: The run that made it; ``None`` for a truth.
        detector: The name of the detector or truth.
        detected_at: When the detector was called, or the truth was settled.
        kind: The kind of detection.
        label: The label.
        confidence: 0 to 1.
        box: The box in ratios of the displayed image, if any.
        attributes: Other attributes.
        start_ms: In a video, when it appears, in milliseconds.
        end_ms: When it is last seen.
        track: The number of the object, if it was followed.
    """

    run_id: int | None
    detector: str
    detected_at: datetime
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None
    attributes: dict[str, Any]
    start_ms: int | None = None
    end_ms: int | None = None
    track: int | None = None


@dataclass(frozen=True, slots=True)
class SettledTruth:
    """The data of a truth beside the things that are in the image.

    Attributes:
        source: import or review.
        scope: Labels that people or detectors looked for.
        exhaustive: Whether everything within the scope is marked.
        made_by: The kind of author, such as people.
        propensity: The chance that the image had of being drawn at random; ``None`` if it was
            chosen for what it shows.
        absent: The things that people said are not there.
    """

    source: str
    scope: Scope
    exhaustive: bool
    made_by: MadeBy
    propensity: float | None
    absent: tuple[TruthItem, ...]

    def sidecar(self, items: Sequence[TruthItem]) -> dict[str, Any]:
        """Return the parts of a truth that a format can't express."""
        return {
            **self.scope.as_json(),
            "exhaustive": self.exhaustive,
            "made_by": self.made_by,
            "items": [item.as_json() for item in items],
        }


@dataclass(slots=True)
class SelectedImage:
    """An image with a selected run, or with a settled truth.

    Attributes:
        reference: The image's identity.
        image_id: Its id.
        size_px: Width and height as displayed; ``None`` if it was never decoded.
        looked_at: The time of the last selected run, or when the truth was settled.
        truth: The truth that the detections are; ``None`` if detectors made them.
        detections: The selected detections; may be empty.
        duration_ms: The duration of a video, if known.
        frame_rate: The mean number of frames a second of a video, if known.
    """

    reference: ImageReference
    image_id: UUID
    size_px: tuple[int, int] | None
    looked_at: datetime
    truth: SettledTruth | None = None
    detections: list[SelectedDetection] = field(default_factory=list)
    duration_ms: int | None = None
    frame_rate: float | None = None

    @property
    def is_video(self) -> bool:
        """Return whether its object is a video."""
        return media_of(self.reference.key) is Media.VIDEO

    @property
    def is_human(self) -> bool:
        """Return whether people have reviewed it."""
        return self.truth is not None and self.truth.made_by != "machine"


def selected_images(
    snapshot: Snapshot, selection: Selection, side: Side | None = None
) -> Iterator[SelectedImage]:
    """Yield every image with a selected run, in the order of their ids.

    Args:
        snapshot: The history.
        selection: The selection.
        side: Select only the newest run of this side for each image. If it names a settled truth,
            select the images of the truth.

    Raises:
        HistoryUnavailableError: The database stopped answering.
    """
    if side is not None and side.truth is not None and is_truth(snapshot, side.truth):
        rows, read = snapshot.rows(truth_rows(side.truth, selection)), _true_image(side.truth)
    else:
        rows, read = snapshot.rows(image_rows(selection, side)), _image
    for _, group in groupby(rows, key=lambda row: row[0]):
        yield read(list(group))


def without_videos(images: Iterator[SelectedImage], written: Written) -> Iterator[SelectedImage]:
    """Yield images for a format without times. Count the videos as left out."""
    for image in images:
        if image.is_video:
            written.left_out["video, for which other formats have times"] += 1
        else:
            yield image


def _true_image(name: str) -> Callable[[list[tuple[Any, ...]]], SelectedImage]:
    def read(rows: list[tuple[Any, ...]]) -> SelectedImage:
        settled_at, source, kinds, labels, exhaustive, made_by, propensity = rows[0][7:14]
        items = [item_of_row(row[14:]) for row in rows if row[14] is not None]
        return SelectedImage(
            *_identity(rows[0]),
            looked_at=settled_at,
            truth=SettledTruth(
                source,
                Scope.of_row(kinds, labels),
                exhaustive,
                made_by,
                propensity,
                tuple(item for item in items if not item.present),
            ),
            detections=[
                SelectedDetection(
                    None,
                    name,
                    settled_at,
                    item.kind,
                    item.label,
                    item.confidence,
                    None if item.box is None else BoundingBox(*item.box),
                    item.attributes,
                )
                for item in items
                if item.present
            ],
        )

    return read


def _image(rows: list[tuple[Any, ...]]) -> SelectedImage:
    return SelectedImage(
        *_identity(rows[0]),
        looked_at=max(row[9] for row in rows),
        detections=[_detection(row) for row in rows if row[10] is not None],
        duration_ms=rows[0][21],
        frame_rate=rows[0][22],
    )


def _identity(row: tuple[Any, ...]) -> tuple[ImageReference, UUID, tuple[int, int] | None]:
    image_id, bucket, key, version, versioned, width_px, height_px = row[:7]
    reference = ImageReference(
        bucket,
        key,
        version_id=version if versioned else None,
        etag=None if versioned else version,
    )
    return reference, image_id, None if width_px is None else (width_px, height_px)


def _detection(row: tuple[Any, ...]) -> SelectedDetection:
    run_id, detector, detected_at, kind, label, confidence = row[7:13]
    left, top, width, height, attributes, start_ms, end_ms, track = row[13:21]
    box = None if left is None else BoundingBox(left, top, width, height)
    return SelectedDetection(
        run_id,
        detector,
        detected_at,
        kind,
        label,
        confidence,
        box,
        attributes,
        start_ms,
        end_ms,
        track,
    )
