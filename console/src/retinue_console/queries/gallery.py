"""The gallery: images, or detections cut out of them, the newest first.

Without a label, images are sorted by their upload, and each is checked against the filters.
With one, the index by label leads to the images, sorted by their newest detection of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row
from retinue_history.analysis.selection import split_place
from retinue_history.db.connections import Connection
from retinue_sdk import BoundingBox

from retinue_console.queries.cursor import Cursor, beyond, beyond_time, continued, directions
from retinue_console.queries.filters import Filters, all_of, compare
from retinue_console.queries.reading import fetch, fetch_within
from retinue_console.queries.search import BUCKETS
from retinue_console.queries.video import BEST_MOMENT
from retinue_console.queries.walk import PAGE, PATIENCE_SECONDS, Looked, Page, walk

_CONFIDENT_LOOK = 512
"""Detections of a label that are looked at first if a confidence is asked for. The index has it."""

FEW = 100_000
"""Number of images with a prefix or a truth up to which all of them, or all of their runs, are read
and sorted. Of more, one of the next images is likely to be one."""

FEW_WITH_DETECTIONS = 20_000
"""The same where all of their detections are read: about ten an image."""

_UPLOADED_DAYS = 2
"""Within how many days from the beginning of a run's day its image was uploaded. The run's time is
the worker's, and the upload's is S3's."""

FINDINGS = 40
"""Maximum number of detections that are drawn on an image of the gallery."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """A detection of a latest run.

    Attributes:
        detection_id: Its row number.
        detector: The detector's name.
        detector_version: The detector's version.
        kind: The kind of detection.
        label: The label.
        confidence: The detector's confidence, 0 to 1.
        box: Its box, in ratios of the displayed image; none if the detector reported none.
        matches: Whether it matches the filters.
    """

    detection_id: int
    detector: str
    detector_version: str
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None
    matches: bool


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """An image of the gallery.

    Attributes:
        image_id: Its id.
        bucket: The bucket's name.
        key: The object's key.
        uploaded_at: When S3 created it.
        width_px: Its width as displayed, if known.
        height_px: Its height as displayed, if known.
        findings: Findings: first those that match the filters, then by confidence.
        has_more: Whether more was found than that.
    """

    image_id: UUID
    bucket: str
    key: str
    uploaded_at: datetime
    width_px: int | None
    height_px: int | None
    findings: tuple[Finding, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Patch:
    """A detection to be cut out of its image.

    Attributes:
        image_id: The image's id.
        bucket: The bucket's name.
        key: The object's key.
        width_px: The image's width as displayed, if known.
        height_px: The image's height as displayed, if known.
        detected_at: When the detector was called.
        at_ms: The time of the box in a video, in milliseconds; none in an image.
        finding: The detection; it has a box.
    """

    image_id: UUID
    bucket: str
    key: str
    width_px: int | None
    height_px: int | None
    detected_at: datetime
    at_ms: int | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class Few:
    """Images that the filters leave, and that an index leads to.

    Attributes:
        condition: A condition that only these meet.
        number: The number of them.
    """

    condition: sql.Composable
    number: int


@dataclass(frozen=True, slots=True)
class Month:
    """A month to which the gallery can jump.

    Attributes:
        month: Its first day.
        detections: Number of its detections with the filters' labels; none without labels.
    """

    month: date
    detections: int | None


def images(
    connection: Connection,
    filters: Filters,
    *,
    wanted: int = PAGE,
    seconds: float = PATIENCE_SECONDS,
) -> Page[GalleryImage]:
    """Return the next images that exist and match.

    Raises:
        ValueError: The cursor belongs to another list.
    """
    labels = _labels(connection, filters)
    found = _matching_images(connection, filters, labels, wanted=wanted, seconds=seconds)
    shown: dict[UUID, list[Finding]] = {row[0]: [] for row in found.rows}
    if shown:
        for image_id, finding in _findings(connection, filters, labels, list(shown)):
            shown[image_id].append(finding)
    rows = tuple(_gallery_image(row, shown[row[0]]) for row in found.rows)
    return found.with_rows(rows)


def image_ids(connection: Connection, filters: Filters, *, wanted: int) -> Page[UUID]:
    """Return the ids alone of the images that ``images`` returns."""
    labels = _labels(connection, filters)
    found = _matching_images(connection, filters, labels, wanted=wanted, seconds=PATIENCE_SECONDS)
    return found.with_rows(tuple(row[0] for row in found.rows))


def patches(
    connection: Connection,
    filters: Filters,
    *,
    wanted: int = PAGE,
    seconds: float = PATIENCE_SECONDS,
) -> Page[Patch]:
    """Return the next detections with a box that match, in images that exist.

    Raises:
        ValueError: The cursor belongs to another list.
    """
    labels = _labels(connection, filters)
    after = continued(filters.after, "recorded" if labels is None else "patches-found")
    filters = _until_last(connection, filters, labels, days=1)
    few = few_images(connection, filters, FEW_WITH_DETECTIONS)
    look = _patch_look(connection, filters, labels, few)
    found = walk(connection, look, after, wanted=wanted, seconds=seconds)
    rows = tuple(_patch(row) for row in found.rows)
    return found.with_rows(rows)


def months(
    connection: Connection, filters: Filters, *, of_detections: bool = False
) -> list[Month] | None:
    """Return the months with images, or with detections of the labels, the newest first.

    Args:
        connection: A reader's connection.
        filters: The filters, of which the labels count.
        of_detections: Without labels, return the months with detections of any.

    Returns:
        ``None`` if it takes too long.
    """
    labels = _labels(connection, filters)
    if labels is not None:
        query = compare(_MONTHS_OF_LABELS, labels)
    else:
        query = compare(_MONTHS_OF_DETECTIONS if of_detections else _MONTHS)
    found = fetch_within(connection, query, tuple_row)
    return None if found is None else [Month(*row) for row in found]


def detectors(connection: Connection) -> list[str]:
    """Return the names of the detectors that workers started with."""
    query = "SELECT DISTINCT detector FROM detector_configurations ORDER BY detector LIMIT 200"
    return fetch(connection, sql.SQL(query), scalar_row)


def same_in_sql(filters: Filters, *, of_detections: bool = False) -> str:
    """Return a query for the first page, which anyone can run.

    Args:
        filters: The filters.
        of_detections: Return one for ``patches``, else one for ``images``.
    """
    if not of_detections and not _is_about_runs(filters):
        conditions = [sql.SQL("found.deleted_at IS NULL"), *filters.of_image("found")]
        conditions += filters.between("found.uploaded_at")
        return sql.SQL(_SQL_OF_IMAGES).format(all_of(*conditions)).as_string(None)
    is_detected = of_detections or filters.names_labels
    column = "detected_at" if is_detected else "uploaded_at"
    conditions = [
        *filters.of_confidence("found"),
        *filters.of_kind("found"),
        *filters.of_run("found"),
        *filters.of_image("found"),
    ]
    if filters.label is not None:
        conditions.append(compare("found.label = {}", filters.label))
    if filters.parent is not None:
        conditions.append(compare("label_is(found.label, {})", filters.parent))
    conditions += filters.between("found.detected_at" if is_detected else "found.uploaded_at")
    if of_detections:
        by_time = "detected_at DESC, " if filters.names_labels else ""
        return (
            sql.SQL(_SQL_OF_DETECTIONS)
            .format(conditions=all_of(*conditions), by_time=sql.SQL(by_time))
            .as_string(None)
        )
    view = "latest_detections" if filters.is_about_detections else "latest_runs"
    return (
        sql.SQL(_SQL_OF_RUNS)
        .format(
            time=sql.Identifier(column), view=sql.Identifier(view), conditions=all_of(*conditions)
        )
        .as_string(None)
    )


def _matching_images(
    connection: Connection,
    filters: Filters,
    labels: list[str] | None,
    *,
    wanted: int,
    seconds: float,
) -> Page[Sequence[Any]]:
    """Return the rows of the next images that exist and match."""
    after = continued(filters.after, "uploaded" if labels is None else "found")
    days = _UPLOADED_DAYS if labels is None else 1
    filters = _until_last(connection, filters, labels, days=days)
    first = None
    if labels is None:
        look = _by_upload(connection, filters, few_images(connection, filters, FEW))
    else:
        few = few_images(connection, filters, FEW_WITH_DETECTIONS)
        look = _by_label(connection, filters, labels, few, _newest_run(connection, after))
        first = _CONFIDENT_LOOK if filters.of_confidence("found") else None
    return walk(connection, look, after, wanted=wanted, seconds=seconds, first=first)


def _is_about_runs(filters: Filters) -> bool:
    return filters.is_about_detections or bool(filters.of_run("found"))


def _labels(connection: Connection, filters: Filters) -> list[str] | None:
    """Return the labels that the filters name; ``None`` for any."""
    if filters.parent is None:
        return None if filters.label is None else [filters.label]
    [narrower] = fetch(connection, compare("SELECT label_is({})", filters.parent), scalar_row)
    return [label for label in narrower if filters.label in (None, label)]


def _until_last(
    connection: Connection, filters: Filters, labels: list[str] | None, *, days: int
) -> Filters:
    """Return the filters until the last day on which runs or detections like theirs were counted.

    A search for those of an old version then doesn't begin at the newest image.

    Args:
        connection: A reader's connection.
        filters: The filters.
        labels: The labels that they name; ``None`` for any.
        days: Within how many days from the beginning of that day everything lies.
    """
    conditions = [*filters.of_kind("counted"), *filters.of_run("counted")]
    if not conditions:
        return filters
    if labels is not None:
        # Texts are counted without their labels, so those of other labels would count, too.
        found = fetch_within(connection, compare(_HAVE_TEXTS, labels), scalar_row)
        of_texts = [""] if found != [False] else []
        conditions.append(compare("counted.label = ANY ({})", [*labels, *of_texts]))
    table = "label_counts" if filters.is_about_detections else "run_counts"
    query = sql.SQL("SELECT max(day) FROM {} AS counted WHERE {}").format(
        sql.Identifier(table), all_of(*conditions)
    )
    found = fetch_within(connection, query, scalar_row)
    if found is None:
        return filters
    until = datetime.min.replace(tzinfo=UTC)
    if found[0] is not None:
        until = datetime.combine(found[0] + timedelta(days), time.min, UTC)
    return filters.model_copy(update={"until": min(until, filters.until or until)})


def few_images(connection: Connection, filters: Filters, most: int) -> Few | None:
    """Return the images with the filters' truth or prefix, if there are at most so many."""
    if filters.reviewed:
        number = _count(connection, sql.SQL("truths"), most)
        if number is not None:
            return Few(sql.SQL("image_id IN (SELECT image_id FROM truths)"), number)
    if filters.prefix is not None:
        bucket, key = split_place(filters.prefix)
        if bucket is None:
            of_bucket: sql.Composable = sql.SQL(f"bucket = ANY (ARRAY({BUCKETS}))")
        else:
            of_bucket = compare("bucket = {}", bucket)
        condition = all_of(of_bucket, compare("starts_with(key, {})", key))
        number = _count(connection, sql.SQL("images WHERE ") + condition, most)
        if number is not None:
            return Few(condition, number)
    return None


def if_fewer(few: Few | None, size: int) -> sql.Composable | None:
    """Return the condition of few images if they are fewer than the candidates of a look."""
    return None if few is None or few.number >= size else few.condition


def _count(connection: Connection, source: sql.Composable, most: int) -> int | None:
    """Return the number of rows of a table, or of a part of it; ``None`` if it has more."""
    query = sql.SQL(_COUNT).format(source=source, limit=sql.Literal(most + 1))
    counted = fetch_within(connection, query, scalar_row)
    return counted[0] if counted is not None and counted[0] <= most else None


def _newest_run(connection: Connection, after: Cursor | None) -> int:
    """Return the newest run when the list was begun."""
    if after is not None and after.number is not None:
        return after.number
    query = sql.SQL("SELECT coalesce(max(run_id), 0) FROM runs")
    [newest] = fetch(connection, query, scalar_row)
    return int(newest)


def _matching(filters: Filters, labels: list[str] | None) -> sql.Composable:
    """Return the filters' conditions on a latest detection: over the columns of ``found``."""
    conditions = [
        *filters.of_confidence("found"), *filters.of_kind("found"), *filters.of_run("found")
    ]  # fmt: skip
    if labels is not None:
        conditions.append(compare("found.label = ANY ({})", labels))
        conditions += filters.between("found.detected_at")
    return all_of(*conditions)


def _findings(
    connection: Connection, filters: Filters, labels: list[str] | None, image_ids: list[UUID]
) -> list[tuple[UUID, Finding]]:
    """Detections in these images: those that are shown, and one more of each if there are more."""
    query = sql.SQL(_FINDINGS).format(
        images=sql.Literal(image_ids),
        matching=_matching(filters, labels) if _is_about_runs(filters) else sql.SQL("false"),
        limit=sql.Literal(FINDINGS + 1),
    )
    return [(image_id, _finding(row)) for image_id, *row in fetch(connection, query, tuple_row)]


def _gallery_image(row: Sequence[Any], found: list[Finding]) -> GalleryImage:
    image_id, bucket, key, uploaded_at, width_px, height_px = row
    shown, more = tuple(found[:FINDINGS]), len(found) > FINDINGS
    return GalleryImage(image_id, bucket, key, uploaded_at, width_px, height_px, shown, more)


def _finding(row: Sequence[Any]) -> Finding:
    *found, left, top, width, height, matches = row
    box = None if left is None else BoundingBox(left, top, width, height)
    detection_id, detector, version, kind, label, confidence = found
    return Finding(detection_id, detector, version, kind, label, confidence, box, matches)


Look = Callable[[Cursor | None, int, int], Looked[T]]


def _by_upload(connection: Connection, filters: Filters, few: Few | None) -> Look[Sequence[Any]]:
    """Look at the images, or those few, that were uploaded before a place."""
    conditions = [sql.SQL("images.deleted_at IS NULL"), *filters.of_image()]
    if filters.is_about_detections:
        conditions.append(_has("latest_detections", "images", _matching(filters, None)))
    elif filters.of_run("found"):
        conditions.append(_has("latest_runs", "images", _matching(filters, None)))

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[Sequence[Any]]:
        among = if_fewer(few, size)
        query = sql.SQL(_BY_UPLOAD).format(
            images=sql.SQL("images" if among is None else _ONLY).format(among),
            scanned=all_of(
                *filters.between("uploaded_at"), *beyond_time("uploaded_at", "image_id", after)
            ),
            conditions=all_of(*conditions),
            size=sql.Literal(size),
            wanted=sql.Literal(wanted),
            **directions(after),
        )
        rows = fetch(connection, query, tuple_row)
        return _looked(rows, size, lambda at, image_id: Cursor("uploaded", at, image_id), after)

    return look


def _by_label(
    connection: Connection,
    filters: Filters,
    labels: list[str],
    few: Few | None,
    newest: int,
) -> Look[Sequence[Any]]:
    """Look at the images, or those few, with a detection of these labels before a place.

    An image is at the place of its newest matching detection of a run up to ``newest``, whether or
    not that run is still the latest, so that later runs don't move it.
    """
    counted = [
        compare("found.run_id <= {}", newest),
        compare("found.label = ANY ({})", labels),
        *filters.of_confidence("found"),
        *filters.between("found.detected_at"),
    ]
    conditions = [
        sql.SQL("images.deleted_at IS NULL"),
        *filters.of_image(),
        _has("latest_detections", "looked", _matching(filters, labels)),
    ]

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[Sequence[Any]]:
        query = sql.SQL(_BY_LABEL).format(
            candidates=_of_labels(
                filters,
                labels,
                if_fewer(few, size),
                "image_id",
                after,
                size,
                ("detected_at", "image_id", "confidence"),
            ),
            confident=all_of(*filters.of_confidence("raw")),
            counted=all_of(*counted),
            conditions=all_of(*conditions),
            wanted=sql.Literal(wanted),
            **directions(after),
        )
        rows = fetch(connection, query, tuple_row)
        return _looked(
            rows, size, lambda at, image_id: Cursor("found", at, image_id, newest), after
        )

    return look


def _patch_look(
    connection: Connection, filters: Filters, labels: list[str] | None, few: Few | None
) -> Look[Sequence[Any]]:
    """Search the detections before a place, or those of few images.

    Those of labels are searched by time, all by number.
    """
    conditions = [
        sql.SQL("looked.box_left IS NOT NULL"),
        *filters.of_confidence("looked"),
        *filters.of_kind("looked"),
        *filters.of_image(),
        *filters.of_run("images"),
    ]

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[Sequence[Any]]:
        among = if_fewer(few, size)
        query = sql.SQL(_PATCHES).format(
            candidates=_of_all(filters, among, after, size)
            if labels is None
            else _of_labels(filters, labels, among, "detection_id", after, size),
            order=sql.SQL("detection_id" if labels is None else "(detected_at, detection_id)"),
            conditions=all_of(*conditions),
            moment=sql.SQL(BEST_MOMENT),
            wanted=sql.Literal(wanted),
            **directions(after),
        )
        rows = fetch(connection, query, tuple_row)
        return _looked(rows, size, place, after)

    def place(at: datetime, number: int) -> Cursor:
        if labels is None:
            return Cursor("recorded", number=number)
        return Cursor("patches-found", at, number=number)

    return look


def _of_all(
    filters: Filters, few: sql.Composable | None, after: Cursor | None, size: int
) -> sql.Composable:
    """Return the next detections, or those of few images, sorted by their number."""
    return sql.SQL(_OF_ALL if few is None else _OF_FEW).format(
        few=few,
        by_time=sql.SQL(""),
        second=sql.Identifier("detection_id"),
        scanned=all_of(*filters.between("detected_at"), *beyond("detection_id", after)),
        size=sql.Literal(size),
        **directions(after),
    )


def _of_labels(
    filters: Filters,
    labels: list[str],
    few: sql.Composable | None,
    column: str,
    after: Cursor | None,
    size: int,
    columns: Sequence[str] = (),
) -> sql.Composable:
    """Return the next detections of labels, or those of few images, sorted by time and this column.

    Only these columns of them, or all. The index by label has some, so that for these no other page
    of the table is read.

    The labels are read one by one, each in the order of the index; of each, as many as can be among
    the first ones of all.
    """
    scanned = [*filters.between("detected_at"), *beyond_time("detected_at", column, after)]
    if few is not None:
        scanned.append(compare("label = ANY ({})", labels))
    return sql.SQL(_OF_LABELS if few is None else _OF_FEW).format(
        labels=sql.Literal(labels),
        few=few,
        by_time=sql.SQL("detected_at {down}, ").format(**directions(after)),
        scanned=all_of(*scanned),
        second=sql.Identifier(column),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)) if columns else sql.SQL("*"),
        size=sql.Literal(size),
        **directions(after),
    )


def _patch(row: Sequence[Any]) -> Patch:
    image_id, bucket, key, width_px, height_px, detected_at, at_ms, *found = row
    finding = _finding([*found, True])
    return Patch(image_id, bucket, key, width_px, height_px, detected_at, at_ms, finding)


def _looked(
    rows: list[Any],
    size: int,
    place: Callable[[Any, Any], Cursor],
    after: Cursor | None,
) -> Looked[Sequence[Any]]:
    """Separate the matching rows from the one with the search's position."""
    matched = [(place(*row[2:4]), row[4:]) for row in rows if row[0]]
    last = [place(*row[2:4]) for row in rows if not row[0] and row[1] == size]
    forward = after is None or not after.backward
    return Looked(
        sorted(matched, key=lambda one: one[0].position, reverse=forward),
        last[0] if last else None,
    )


def _has(view: str, image: str, matching: sql.Composable) -> sql.Composable:
    """Return a condition: that a view has a row of an image that matches.

    OFFSET 0 keeps the planner from computing the view for all images first.
    """
    return sql.SQL(
        """EXISTS (
            SELECT FROM {view} AS found
            WHERE found.image_id = {image}.image_id AND {matching}
            OFFSET 0
        )"""
    ).format(view=sql.Identifier(view), image=sql.Identifier(image), matching=matching)


# For EXISTS without the WITH, the planner reads all detections of the labels: their index has no
# kind, and that of texts takes longer to its first row.
_HAVE_TEXTS = """WITH texts AS MATERIALIZED (
    SELECT FROM detections WHERE kind = 'text' AND label = ANY ({})
)
SELECT EXISTS (SELECT FROM texts)"""

_COUNT = "SELECT count(*) FROM (SELECT FROM {source} LIMIT {limit}) AS counted"

# OFFSET 0 keeps the planner from reading all images in the order of their upload.
_ONLY = "(SELECT * FROM images WHERE {} OFFSET 0) AS images"

# Each of the three returns the rows that match, and one row with the number of candidates and the
# last of them.
_BY_UPLOAD = """WITH looked AS MATERIALIZED (
    SELECT uploaded_at, image_id, bucket, key, width_px, height_px, deleted_at
    FROM {images}
    WHERE {scanned}
    ORDER BY uploaded_at {down}, image_id {down}
    LIMIT {size}
)
(
    SELECT
        true, 0, images.uploaded_at, images.image_id, images.image_id, images.bucket, images.key,
        images.uploaded_at, images.width_px, images.height_px
    FROM looked AS images
    WHERE {conditions}
    ORDER BY images.uploaded_at {down}, images.image_id {down}
    LIMIT {wanted}
)
UNION ALL
(
    SELECT false, count(*) OVER (), uploaded_at, image_id, NULL, NULL, NULL, NULL, NULL, NULL
    FROM looked
    ORDER BY uploaded_at {up}, image_id {up}
    LIMIT 1
)"""

# OFFSET 0 keeps their order, in which they are checked until enough match.
_BY_LABEL = """WITH raw AS MATERIALIZED (
    {candidates}
)
(
    SELECT
        true, 0, looked.detected_at, looked.image_id, images.image_id, images.bucket, images.key,
        images.uploaded_at, images.width_px, images.height_px
    FROM (
        SELECT DISTINCT detected_at, image_id
        FROM raw
        WHERE {confident}
        ORDER BY detected_at {down}, image_id {down}
        OFFSET 0
    ) AS looked
    JOIN images ON images.image_id = looked.image_id
    WHERE {conditions}
        AND looked.detected_at = (
            SELECT max(found.detected_at)
            FROM runs
            JOIN detections AS found ON found.run_id = runs.run_id
                AND found.detected_at BETWEEN runs.started_at AND runs.started_at
            WHERE runs.image_id = looked.image_id
                AND runs.outcome = 'succeeded'
                AND runs.started_at >= looked.detected_at
                AND {counted}
        )
    ORDER BY looked.detected_at {down}, looked.image_id {down}
    LIMIT {wanted}
)
UNION ALL
(
    SELECT false, count(*) OVER (), detected_at, image_id, NULL, NULL, NULL, NULL, NULL, NULL
    FROM raw
    ORDER BY detected_at {up}, image_id {up}
    LIMIT 1
)"""

_PATCHES = """WITH looked AS MATERIALIZED (
    {candidates}
)
(
    SELECT
        true, 0, looked.detected_at, looked.detection_id, images.image_id, images.bucket,
        images.key, images.width_px, images.height_px, looked.detected_at, {moment},
        looked.detection_id, images.detector, images.detector_version, looked.kind, looked.label,
        looked.confidence, looked.box_left, looked.box_top, looked.box_width, looked.box_height
    FROM looked
    CROSS JOIN LATERAL (
        SELECT * FROM latest_runs WHERE latest_runs.run_id = looked.run_id OFFSET 0
    ) AS images
    WHERE {conditions}
    ORDER BY {order} {down}
    LIMIT {wanted}
)
UNION ALL
(
    SELECT
        false, count(*) OVER (), detected_at, detection_id, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM looked
    ORDER BY {order} {up}
    LIMIT 1
)"""

_OF_ALL = """SELECT *
    FROM detections
    WHERE {scanned}
    ORDER BY detection_id {down}
    LIMIT {size}"""

_OF_FEW = """SELECT found.*
    FROM (
        SELECT run_id, started_at
        FROM (SELECT image_id AS id FROM images WHERE {few} OFFSET 0) AS images
        CROSS JOIN LATERAL (SELECT * FROM runs WHERE image_id = id OFFSET 0) AS runs
        OFFSET 0
    ) AS made
    CROSS JOIN LATERAL (
        SELECT *
        FROM detections
        WHERE run_id = made.run_id
            AND detected_at BETWEEN made.started_at AND made.started_at
            AND {scanned}
        OFFSET 0
    ) AS found
    ORDER BY {by_time}{second} {down}
    LIMIT {size}"""

_OF_LABELS = """SELECT found.*
    FROM unnest({labels}::text[]) AS wanted (label)
    CROSS JOIN LATERAL (
        SELECT {columns}
        FROM detections
        WHERE detections.label = wanted.label AND {scanned}
        ORDER BY detected_at {down}, {second} {down}
        LIMIT {size}
    ) AS found
    ORDER BY found.detected_at {down}, found.{second} {down}
    LIMIT {size}"""

_SQL_OF_IMAGES = """SELECT image_id, bucket, key, uploaded_at
FROM images AS found
WHERE {}
ORDER BY uploaded_at DESC, image_id DESC
LIMIT 60"""

_SQL_OF_RUNS = """SELECT image_id, s3_uri, max({time}) AS {time}
FROM {view} AS found
WHERE {conditions}
GROUP BY image_id, s3_uri
ORDER BY 3 DESC
LIMIT 60"""

_SQL_OF_DETECTIONS = """SELECT image_id, s3_uri, detector, kind, label, confidence, detected_at
FROM latest_detections AS found
WHERE found.box IS NOT NULL AND {conditions}
ORDER BY {by_time}detection_id DESC
LIMIT 60"""

_FINDINGS = """SELECT
    shown.image_id, found.detection_id, found.detector, found.detector_version, found.kind,
    found.label, found.confidence, found.box_left, found.box_top, found.box_width,
    found.box_height, found.matches
FROM unnest({images}::uuid[]) AS shown (image_id)
CROSS JOIN LATERAL (
    SELECT found.*, {matching} AS matches
    FROM latest_detections AS found
    WHERE found.image_id = shown.image_id
    ORDER BY matches DESC, confidence DESC, detection_id
    LIMIT {limit}
) AS found
ORDER BY found.matches DESC, found.confidence DESC, found.detection_id"""

# From each month, one step to the newest image before it.
_MONTHS = """WITH RECURSIVE months (month) AS (
    (
        SELECT date_trunc('month', uploaded_at, 'UTC')
        FROM images
        ORDER BY uploaded_at DESC
        LIMIT 1
    )
    UNION ALL
    SELECT date_trunc('month', older.uploaded_at, 'UTC')
    FROM months
    CROSS JOIN LATERAL (
        SELECT uploaded_at
        FROM images
        WHERE uploaded_at < months.month
        ORDER BY uploaded_at DESC
        LIMIT 1
    ) AS older
)
SELECT (month AT TIME ZONE 'UTC')::date, NULL FROM months LIMIT 240"""

_MONTHS_OF_DETECTIONS = """SELECT date_trunc('month', day::timestamp)::date AS month, NULL
FROM run_counts
GROUP BY month
HAVING sum(detections) > 0
ORDER BY month DESC
LIMIT 240"""

_MONTHS_OF_LABELS = """SELECT
    date_trunc('month', day::timestamp)::date AS month,
    sum(detections)::bigint
FROM label_counts
WHERE label = ANY ({}::text[])
GROUP BY month
HAVING sum(detections) > 0
ORDER BY month DESC
LIMIT 240"""
