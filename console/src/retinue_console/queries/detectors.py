"""Detectors: their versions, the drift of their findings, and the agreement of two of them."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, scalar_row
from retinue_history.db.connections import Connection

from retinue_console.queries.filters import compare
from retinue_console.queries.reading import fetch, largest_part

DRIFT_DAYS = 7
BEFORE_DAYS = 28
"""The last days, and the days before them with which they are compared."""

AGREEMENT_IMAGES = (300, 30, 3)
"""The numbers of newest images in which detectors are compared: the next one if one takes long."""

AGREEMENT_MS = 3_000
"""Time limit of a comparison of detectors."""

FoundBy = Literal["both", "only a", "only b"]


@dataclass(frozen=True, slots=True)
class DetectorVersion:
    """A version, set of options and model of a detector that made runs.

    Attributes:
        detector: The detector's name.
        detector_version: Its version.
        fingerprint: Digest of its options.
        model_version: The model's version, as the detector reported it.
        options: Its options, with secrets masked; none if no worker recorded them.
        runs: Number of runs, without skips.
        failed_runs: Number of failed runs.
        detections: Number of their detections.
        first_day: The day in UTC on which the first of them started.
        last_day: The day in UTC on which the last of them started.
        pools: The queues of the pools that use these options.
    """

    detector: str
    detector_version: str
    fingerprint: str
    model_version: str | None
    options: dict[str, Any] | None
    runs: int
    failed_runs: int
    detections: int
    first_day: date
    last_day: date
    pools: list[str]

    @property
    def side(self) -> str:
        """Return these runs as a side of a comparison, as in ``Side.parse``."""
        model = "" if self.model_version is None else f",model={self.model_version}"
        name = f"{self.detector}@{self.detector_version}"
        return f"{name}{model},fingerprint={self.fingerprint[:8]}"


@dataclass(frozen=True, slots=True)
class Drift:
    """A label whose share of a detector's findings changed.

    Attributes:
        detector: The detector's name.
        kind: The kind of the detections.
        label: The label; empty for all recognized texts.
        detections: Number of detections in the last days.
        share: Their share of all detections of the detector in these days, 0 to 1.
        share_before: The share in the days before.
        mean_confidence: Their mean confidence; none if there are none.
        mean_confidence_before: The mean confidence in the days before.
    """

    detector: str
    kind: str
    label: str
    detections: int
    share: float
    share_before: float
    mean_confidence: float | None
    mean_confidence_before: float | None


@dataclass(frozen=True, slots=True)
class Drifts:
    """The labels that changed most.

    Attributes:
        since: The first of the last days.
        before: The first of the days before them.
        until: The last day.
        labels: The labels, by how much their share changed.
    """

    since: date
    before: date
    until: date
    labels: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of two detectors on a label, in the newest images.

    Attributes:
        detector_a: One detector.
        detector_b: The other.
        label: The label, in lower case.
        both: Images in which both found it.
        only_a: Images in which only the first did.
        only_b: Images in which only the second did.
        matched_boxes: Number of boxes that match, with an IoU of 0.5 or more.
        mean_iou: The mean IoU of the matched boxes.
    """

    detector_a: str
    detector_b: str
    label: str
    both: int
    only_a: int
    only_b: int
    matched_boxes: int
    mean_iou: float | None


@dataclass(frozen=True, slots=True)
class AgreementImage:
    """An image of one cell of the comparison.

    Attributes:
        image_id: Its id.
        bucket: The bucket's name.
        key: The object's key.
        matched_boxes: Number of boxes of the two detectors that match.
    """

    image_id: UUID
    bucket: str
    key: str
    matched_boxes: int


def list_versions(connection: Connection) -> list[DetectorVersion]:
    """Return all versions of all detectors, the last used first."""
    return fetch(connection, sql.SQL(_VERSIONS), class_row(DetectorVersion))


def list_sides(connection: Connection) -> list[str]:
    """Return the sides of a comparison: detectors, their versions, models and sets of options."""
    return fetch(connection, sql.SQL(_SIDES), scalar_row)


def list_drift(connection: Connection, detector: str | None = None) -> Drifts:
    """Return the labels whose share changed most in the last days that have detections."""
    [until] = fetch(connection, sql.SQL(_LAST_DAY), scalar_row)
    since = until - timedelta(days=DRIFT_DAYS - 1)
    before = since - timedelta(days=BEFORE_DAYS)
    query = sql.SQL(_DRIFT).format(
        condition=sql.SQL("true") if detector is None else compare("detector = {}", detector),
        since=sql.Literal(since),
        before=sql.Literal(before),
        until=sql.Literal(until),
    )
    return Drifts(since, before, until, tuple(fetch(connection, query, class_row(Drift))))


@dataclass(frozen=True, slots=True)
class Agreements:
    """A comparison of the detectors, two by two.

    Attributes:
        newest: In how many images, the newest that exist.
        is_part: Whether they are fewer than usual, because more take too long.
        agreement: How far the detectors agree, by label.
        images: The images of one cell, if one is asked for, the newest first.
    """

    newest: int
    is_part: bool
    agreement: tuple[Agreement, ...]
    images: tuple[AgreementImage, ...]


@dataclass(frozen=True, slots=True)
class AgreementCell:
    """A number of the comparison, whose images are asked for.

    Attributes:
        detector_a: One detector.
        detector_b: The other.
        label: The label, in upper or lower case.
        found_by: Which of them found it.
    """

    detector_a: str
    detector_b: str
    label: str
    found_by: FoundBy


def list_agreement(
    connection: Connection,
    label: str | None = None,
    cell: AgreementCell | None = None,
) -> Agreements:
    """Compare the detectors, two by two, in the newest images that exist.

    Args:
        connection: A reader's connection.
        label: Only this label, in upper or lower case.
        cell: The number whose images to return.
    """

    def read(newest: int) -> tuple[list[Agreement], list[AgreementImage]]:
        return _agreement(connection, newest, label), _images_of(connection, newest, cell)

    found = largest_part(connection, AGREEMENT_IMAGES, AGREEMENT_MS, read)
    newest, (compared, images) = found or (0, ([], []))
    return Agreements(newest, newest < AGREEMENT_IMAGES[0], tuple(compared), tuple(images))


def _agreement(connection: Connection, newest: int, label: str | None) -> list[Agreement]:
    condition = sql.SQL("true") if label is None else compare("label = lower({})", label)
    query = sql.SQL(_AGREEMENT).format(newest=compare(_NEWEST, newest), condition=condition)
    return fetch(connection, query, class_row(Agreement))


def _images_of(
    connection: Connection, newest: int, cell: AgreementCell | None
) -> list[AgreementImage]:
    """Return the images of one cell, the newest first."""
    if cell is None:
        return []
    query = sql.SQL(_AGREEMENT_IMAGES).format(
        newest=compare(_NEWEST, newest),
        condition=compare(
            "detector_a = {} AND detector_b = {} AND label = lower({}) AND found_by = {}",
            cell.detector_a,
            cell.detector_b,
            cell.label,
            cell.found_by,
        ),
    )
    return fetch(connection, query, class_row(AgreementImage))


_VERSIONS = """SELECT
    detector, detector_version, fingerprint, model_version, options, runs, failed_runs, detections,
    first_day, last_day, pools
FROM detector_versions
ORDER BY
    last_day DESC, first_day DESC, detector, detector_version DESC, model_version DESC, fingerprint
LIMIT 200"""

_SIDES = """SELECT DISTINCT side
FROM detector_versions, unnest(ARRAY[
    detector,
    detector || '@' || detector_version,
    detector || ',model=' || model_version,
    detector || ',fingerprint=' || left(fingerprint, 8)
]) AS side
WHERE side IS NOT NULL
ORDER BY side
LIMIT 400"""

_LAST_DAY = """SELECT coalesce((SELECT max(day) FROM label_counts), now()::date)"""

_DRIFT = """WITH counted AS (
    SELECT
        detector, kind, label,
        coalesce(sum(detections) FILTER (WHERE day >= {since}), 0) AS detections,
        coalesce(sum(detections) FILTER (WHERE day < {since}), 0) AS earlier,
        sum(confidence_ppm) FILTER (WHERE day >= {since}) AS ppm,
        sum(confidence_ppm) FILTER (WHERE day < {since}) AS ppm_before
    FROM label_counts
    WHERE day BETWEEN {before} AND {until} AND model_version IS DISTINCT FROM 'emulator'
        AND {condition}
    GROUP BY detector, kind, label
), shared AS (
    SELECT
        *,
        sum(detections) OVER (PARTITION BY detector) AS all_detections,
        sum(earlier) OVER (PARTITION BY detector) AS all_earlier
    FROM counted
)
SELECT
    detector, kind, label, detections::bigint AS detections,
    (detections / all_detections)::double precision AS share,
    (earlier / all_earlier)::double precision AS share_before,
    (ppm / nullif(detections, 0) / 1000000.0)::double precision AS mean_confidence,
    (ppm_before / nullif(earlier, 0) / 1000000.0)::double precision AS mean_confidence_before
FROM shared
WHERE all_detections > 0 AND all_earlier > 0
ORDER BY abs(detections / all_detections - earlier / all_earlier) DESC, detector, label, kind
LIMIT 50"""

_NEWEST = """SELECT image_id, bucket, key, uploaded_at
    FROM images
    WHERE deleted_at IS NULL
    ORDER BY uploaded_at DESC, image_id DESC
    LIMIT {}"""

# OFFSET 0 lets the view be read image by image.
_AGREEMENT = """WITH newest AS (
    {newest}
)
SELECT
    detector_a, detector_b, label, count(*) FILTER (WHERE found_by = 'both') AS both,
    count(*) FILTER (WHERE found_by = 'only a') AS only_a,
    count(*) FILTER (WHERE found_by = 'only b') AS only_b,
    coalesce(sum(matched_boxes), 0)::bigint AS matched_boxes,
    sum(mean_iou * matched_boxes) / nullif(sum(matched_boxes), 0)::double precision AS mean_iou
FROM newest
CROSS JOIN LATERAL (
    SELECT * FROM detector_agreement WHERE image_id = newest.image_id OFFSET 0
) AS agreed
WHERE {condition}
GROUP BY detector_a, detector_b, label
ORDER BY count(*) DESC, detector_a, detector_b, label
LIMIT 100"""

_AGREEMENT_IMAGES = """WITH newest AS (
    {newest}
)
SELECT newest.image_id, newest.bucket, newest.key, matched_boxes
FROM newest
CROSS JOIN LATERAL (
    SELECT * FROM detector_agreement WHERE image_id = newest.image_id OFFSET 0
) AS agreed
WHERE {condition}
ORDER BY newest.uploaded_at DESC, newest.image_id DESC
LIMIT 60"""
