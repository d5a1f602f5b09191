"""Compare two sets of runs on the same images in one SQL query.

Within an image, detections are matched by kind and label, and by how much their boxes overlap: the
pair with the greatest intersection over union first, then the next that is still free (greedy). The
optimal assignment would differ only for crowded boxes of one label, where no assignment is correct.
If one of the two has no box, the label alone decides, after all pairs of boxes.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from retinue_history.analysis.selection import IN_USE, KEPT
from retinue_history.db.snapshot import Snapshot
from retinue_history.recording.records import Box

DEFAULT_IOU = 0.5
"""Minimum intersection over union of boxes of the same thing, as in PASCAL VOC and COCO's
AP50 (https://cocodataset.org/#detection-eval).
"""

Change = Literal["kept", "gained", "lost", "unknown"]


@dataclass(frozen=True, slots=True)
class Side:
    """The runs of one side. The latest of them on each image counts.

    The latest run is the newest successful one with options that a pool uses, or else the newest.

    Attributes:
        run_id: The id of a single run.
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, as the detector reported it.
        fingerprint: The fingerprint or its beginning.
    """

    run_id: int | None = None
    detector: str | None = None
    detector_version: str | None = None
    model_version: str | None = None
    fingerprint: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Side":
        """Parse ``RUN_ID`` or ``[DETECTOR][@VERSION][,model=VERSION][,fingerprint=BEGINNING]``.

        Raises:
            ValueError: The text has neither form.
        """
        if re.fullmatch(r"[0-9]{1,18}", text):
            return cls(run_id=int(text))
        name, *conditions = text.split(",")
        detector, at, version = name.partition("@")
        given = dict.fromkeys(("model", "fingerprint"), "")
        for condition in conditions:
            key, _, value = condition.partition("=")
            if key not in given or given[key] or not value:
                raise ValueError(_GRAMMAR.format(text))
            given[key] = value
        if (at and not version) or not any((detector, version, *given.values())):
            raise ValueError(_GRAMMAR.format(text))
        return cls(
            detector=detector or None,
            detector_version=version or None,
            model_version=given["model"] or None,
            fingerprint=given["fingerprint"] or None,
        )

    def condition(self) -> sql.Composed:
        """Return SQL over the columns of ``runs``."""
        exact = {
            "run_id": self.run_id,
            "detector": self.detector,
            "detector_version": self.detector_version,
            "model_version": self.model_version,
        }
        conditions = [sql.SQL("runs.outcome = 'succeeded'").format()]
        conditions += [
            sql.SQL("runs.{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in exact.items()
            if value is not None
        ]
        if self.fingerprint is not None:
            beginning = sql.Literal(self.fingerprint)
            conditions.append(sql.SQL("starts_with(runs.fingerprint, {})").format(beginning))
        return sql.SQL(" AND ").join(conditions)

    @property
    def truth(self) -> str | None:
        """Return the name of a settled truth for this side, if it is only a name."""
        if self == Side(detector=self.detector):
            return self.detector
        return None

    def looks(self, newest: int | None = None) -> sql.Composed:
        """Return SQL for the runs and truths of this side, and the meaning of absence in each.

        Args:
            newest: Only those of this many images of the history, the newest.
        """
        return sql.SQL(_LOOKS).format(
            runs=self.condition(),
            kept=KEPT,
            in_use=IN_USE,
            truth=sql.Literal(self.truth),
            among=sql.SQL("")
            if newest is None
            else sql.SQL(_AMONG).format(newest=sql.Literal(newest)),
        )


_LOOKS = """
    SELECT image_id, run_id, NULL::bigint AS truth_id, started_at AS looked_at,
        {in_use} AS in_use, NULL::text[] AS kinds, NULL::text[] AS labels, true AS exhaustive
    FROM runs
    WHERE {runs} AND {kept}{among}
    UNION ALL
    SELECT image_id, NULL, truth_id, settled_at, true, scope_kinds, scope_labels, exhaustive
    FROM truths
    WHERE name = {truth}{among}
"""

# An array, so that the images lead to their runs.
_AMONG = """
        AND image_id = ANY (ARRAY(
            SELECT image_id FROM images ORDER BY uploaded_at DESC, image_id DESC LIMIT {newest}
        ))"""

_GRAMMAR = (
    "{!r} names no runs: give a run id, or DETECTOR, DETECTOR@VERSION, with ,model=VERSION or "
    ",fingerprint=BEGINNING after it if need be"
)


NO_NAME = "the name of a truth can't be a number, and can't contain @ or a comma"


def names_truth(name: str) -> bool:
    """Return whether a name can be a truth's: ``Side.parse`` reads it as nothing else."""
    try:
        return Side.parse(name).truth == name
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Difference:
    """The change of one detection.

    Attributes:
        image_id: The image.
        s3_uri: The image's URI.
        change: kept (on both sides), gained (only after), lost (only before), or unknown: the
            other side is a truth that did not look for it, or that does not mark everything.
        kind: The detection's kind.
        label: Its label.
        confidence_before: Its confidence before; none if gained.
        confidence_after: Its confidence after; none if lost.
        iou: Overlap of the boxes; ``None`` unless both sides have one.
        box_before: Its former place; none if gained, or without a box.
        box_after: The box in the second run; none if lost, or without a box.
    """

    image_id: UUID
    s3_uri: str
    change: Change
    kind: str
    label: str
    confidence_before: float | None
    confidence_after: float | None
    iou: float | None
    box_before: Box | None
    box_after: Box | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """The number of images of each side.

    Attributes:
        both: Images of both sides, which are compared.
        only_before: Images of the first side only.
        only_after: Images of the second side only.
    """

    both: int
    only_before: int
    only_after: int


def comparison_sql(
    before: Side, after: Side, *, min_iou: float = DEFAULT_IOU, newest: int | None = None
) -> sql.Composed:
    """Return the comparison as SQL for readers: one row per detection, ordered by image id.

    Args:
        before: The first side.
        after: The second side.
        min_iou: Minimum intersection over union of boxes of the same thing; above 0, to 1.
        newest: Only in this many images of the history, the newest; ``None`` for all.
    """
    return sql.SQL(_COMPARISON).format(
        before=before.looks(newest), after=after.looks(newest), min_iou=sql.Literal(min_iou)
    )


def compare(
    snapshot: Snapshot,
    before: Side,
    after: Side,
    *,
    min_iou: float = DEFAULT_IOU,
    newest: int | None = None,
) -> Generator[Difference]:
    """Yield the change of each detection in the images of both sides, image by image.

    Raises:
        HistoryUnavailableError: The database no longer answers.
    """
    query = comparison_sql(before, after, min_iou=min_iou, newest=newest)
    for *change, was, now in snapshot.rows(query):
        yield Difference(*(*change, _box(was), _box(now)))


def _box(sides: list[float | None]) -> Box | None:
    left, top, width, height = sides
    if left is None or top is None or width is None or height is None:
        return None
    return left, top, width, height


def overlap(snapshot: Snapshot, before: Side, after: Side, *, newest: int | None = None) -> Overlap:
    """Return the number of images of each side, of all or of the newest."""
    row: tuple[Any, ...] = snapshot.one(
        sql.SQL(_OVERLAP).format(before=before.looks(newest), after=after.looks(newest))
    )
    return Overlap(*row)


_OVERLAP = """SELECT
    count(*) FILTER (WHERE before.image_id IS NOT NULL AND after.image_id IS NOT NULL),
    count(*) FILTER (WHERE after.image_id IS NULL),
    count(*) FILTER (WHERE before.image_id IS NULL)
FROM (SELECT DISTINCT image_id FROM ({before}) AS looks) AS before
FULL JOIN (SELECT DISTINCT image_id FROM ({after}) AS looks) AS after USING (image_id)"""

# The recursion takes one pair per step, image by image, so its size is bounded. A detection
# has its run's time, which selects its partition.
_COMPARISON = """WITH before AS (
    SELECT DISTINCT ON (image_id) *
    FROM ({before}) AS looks
    ORDER BY image_id, in_use DESC, looked_at DESC, run_id DESC
), after AS (
    SELECT DISTINCT ON (image_id) *
    FROM ({after}) AS looks
    ORDER BY image_id, in_use DESC, looked_at DESC, run_id DESC
), pairs AS (
    SELECT image_id, before, after FROM before JOIN after USING (image_id)
)
SELECT
    pairs.image_id,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    change.change,
    change.kind,
    change.label,
    change.confidence_before,
    change.confidence_after,
    change.iou,
    change.box_before,
    change.box_after
FROM pairs
JOIN images USING (image_id)
CROSS JOIN LATERAL (
    WITH RECURSIVE former AS MATERIALIZED (
        SELECT ordinal, kind, label, confidence, box_left, box_top, box_width, box_height
        FROM detections
        WHERE run_id = (pairs.before).run_id AND detected_at = (pairs.before).looked_at
        UNION ALL
        SELECT ordinal, kind, label, confidence, box_left, box_top, box_width, box_height
        FROM truth_items
        WHERE truth_id = (pairs.before).truth_id AND present
    ), later AS MATERIALIZED (
        SELECT ordinal, kind, label, confidence, box_left, box_top, box_width, box_height
        FROM detections
        WHERE run_id = (pairs.after).run_id AND detected_at = (pairs.after).looked_at
        UNION ALL
        SELECT ordinal, kind, label, confidence, box_left, box_top, box_width, box_height
        FROM truth_items
        WHERE truth_id = (pairs.after).truth_id AND present
    ), candidates AS MATERIALIZED (
        SELECT
            row_number() OVER (
                ORDER BY overlap.iou DESC NULLS LAST,
                    abs(former.confidence - later.confidence), former.ordinal, later.ordinal
            ) AS place,
            former.ordinal AS before,
            later.ordinal AS after,
            overlap.iou
        FROM former
        JOIN later USING (kind, label)
        CROSS JOIN LATERAL (
            SELECT
                greatest(0, least(
                    former.box_left + former.box_width, later.box_left + later.box_width
                ) - greatest(former.box_left, later.box_left))
                * greatest(0, least(
                    former.box_top + former.box_height, later.box_top + later.box_height
                ) - greatest(former.box_top, later.box_top)) AS shared
            WHERE former.box_left IS NOT NULL AND later.box_left IS NOT NULL
            UNION ALL
            SELECT NULL WHERE former.box_left IS NULL OR later.box_left IS NULL
        ) AS intersection
        CROSS JOIN LATERAL (
            SELECT coalesce(shared / nullif(former.box_width * former.box_height
                + later.box_width * later.box_height - shared, 0),
                CASE WHEN shared IS NOT NULL THEN 0 END) AS iou
        ) AS overlap
        WHERE overlap.iou IS NULL OR overlap.iou >= {min_iou}
    ), matched AS (
        SELECT 0::bigint AS place, '{{}}'::int[] AS befores, '{{}}'::int[] AS afters,
            NULL::double precision AS iou
        UNION ALL
        SELECT following.place, befores || following.before, afters || following.after,
            following.iou
        FROM matched
        CROSS JOIN LATERAL (
            SELECT *
            FROM candidates
            WHERE candidates.place > matched.place
                AND candidates.before <> ALL (befores)
                AND candidates.after <> ALL (afters)
            ORDER BY candidates.place
            LIMIT 1
        ) AS following
    ), kept AS (
        SELECT befores[cardinality(befores)] AS before, afters[cardinality(afters)] AS after, iou
        FROM matched
        WHERE place > 0
    )
    SELECT
        CASE
            WHEN former.ordinal IS NOT NULL AND later.ordinal IS NOT NULL THEN 'kept'
            WHEN NOT coalesce((
                SELECT looked.exhaustive
                    AND coalesce(coalesce(former.kind, later.kind) = ANY (looked.kinds), true)
                    AND coalesce(coalesce(former.label, later.label) = ANY (looked.labels), true)
                FROM (
                    SELECT (pairs.before).* WHERE former.ordinal IS NULL
                    UNION ALL
                    SELECT (pairs.after).* WHERE later.ordinal IS NULL
                ) AS looked
            ), false) THEN 'unknown'
            WHEN former.ordinal IS NULL THEN 'gained'
            ELSE 'lost'
        END AS change,
        coalesce(former.kind, later.kind) AS kind,
        coalesce(former.label, later.label) AS label,
        former.confidence AS confidence_before,
        later.confidence AS confidence_after,
        kept.iou,
        ARRAY[former.box_left, former.box_top, former.box_width, former.box_height] AS box_before,
        ARRAY[later.box_left, later.box_top, later.box_width, later.box_height] AS box_after
    FROM kept
    FULL JOIN former ON former.ordinal = kept.before
    FULL JOIN later ON later.ordinal = kept.after
) AS change
ORDER BY pairs.image_id, change.change, change.label, change.confidence_before DESC,
    change.confidence_after DESC"""
