"""Queues: which images people answer, and in which order."""

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, LiteralString, TypeAlias
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from retinue_history.analysis.comparison import NO_NAME, names_truth
from retinue_history.analysis.selection import KEPT, Selection
from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistoryDataError
from retinue_history.review.truth import EVERYTHING, Scope

Strategy: TypeAlias = Literal["uncertain", "disagreement", "drift", "rare", "random"]
"""How images are chosen:

- uncertain: those with a detection whose confidence is nearest to 0.5;
- disagreement: those about whose labels detectors or versions disagree most;
- drift: those with the labels whose frequency changed most in the last week;
- rare: those with the labels that were found least often;
- random: any.
"""

MAX_SIZE = 100_000
"""Maximum number of images of a queue."""


SAMPLE = 10_000
"""Maximum number of images from which those of a queue are chosen, unless it is larger. They are
drawn at random from a larger selection."""


@dataclass(frozen=True, slots=True)
class QueueDefinition:
    """A queue to make.

    Attributes:
        name: Its name, and that of the truth that its answers settle.
        selection: Images to choose from, and detectors whose findings are shown and decide the
            choice.
        strategy: The rule by which images are chosen.
        size: Number of images, at most ``MAX_SIZE``.
        scope: Labels that people look for.
        overlap: Number of people who answer each image.
        blind: Whether people see no findings first.
        gold: The name of a truth to test people with; ``None`` for no test.
        gold_share: The share of the queue that comes from it.
        audit_share: The share of the queue that is drawn at random from the whole selection. Only
            these give unbiased metrics.
    """

    name: str
    selection: Selection = field(default_factory=Selection)
    strategy: Strategy = "uncertain"
    size: int = 1_000
    scope: Scope = EVERYTHING
    overlap: int = 1
    blind: bool = False
    gold: str | None = None
    gold_share: float = 0.05
    audit_share: float = 0.1


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue.

    Attributes:
        name: Its name.
        strategy: How its images were chosen; or corrections.
        scope: Labels that people look for.
        detectors: Detectors whose findings are shown; ``None`` for all.
        overlap: Number of people who answer each image.
        blind: Whether people see no findings first.
        created_by: The login of the person who created it.
        created_at: When.
        closed_at: When it was closed; ``None`` while it is open.
        open: Number of images that need answers.
        disputed: Number of images that need an adjudicator.
        settled: Number of settled images.
    """

    name: str
    strategy: str
    scope: Scope
    detectors: list[str] | None
    overlap: int
    blind: bool
    created_by: str
    created_at: datetime
    closed_at: datetime | None
    open: int
    disputed: int
    settled: int


def create_queue(
    reader: Connection,
    reviewer: Connection,
    definition: QueueDefinition,
    person: str,
    *,
    seed: int | None = None,
) -> int:
    """Choose the images of a queue, and make it.

    Args:
        reader: A reader's connection.
        reviewer: A reviewer's connection.
        definition: The queue.
        person: The login of the person who creates it.
        seed: For the places of audit and gold images; ``None`` for other ones each time.

    Returns:
        Number of its images.

    Raises:
        HistoryDataError: A queue, a detector or an import has that name, a truth can't have it, or
            no image is selected.
        HistoryUnavailableError: The database can't answer.
        ValueError: A share is not 0 to 1, or the size not 1 to ``MAX_SIZE``.
    """
    if not (0 <= definition.audit_share <= 1 and 0 <= definition.gold_share <= 1):
        raise ValueError("audit_share and gold_share must be 0 to 1")
    if not 1 <= definition.size <= MAX_SIZE:
        raise ValueError(f"size must be 1 to {MAX_SIZE:,}, not {definition.size:,}")
    if not names_truth(definition.name):
        raise HistoryDataError(f"{definition.name}: {NO_NAME}")
    with map_errors():
        taken = reader.execute(_TAKEN, {"name": definition.name}).fetchone()
        if taken is not None:
            raise HistoryDataError(f"{definition.name} is the name of {taken[0]}: choose another")
        images, population = _choose(reader, definition, random.Random(seed))  # noqa: S311 - no secret
        if not images:
            raise HistoryDataError("no image is selected: widen the selection")
        chosen = {
            "name": definition.name,
            "strategy": definition.strategy,
            "selection": _described(definition, population),
            **definition.scope.as_json(),
            "detectors": list(definition.selection.detectors) or None,
            "overlap": definition.overlap,
            "blind": definition.blind,
            "gold": definition.gold,
        }
        reviewer.execute(
            "SELECT create_review_queue(%s, %s, %s, %s, %s)",
            [
                Jsonb(chosen),
                person,
                [image_id for image_id, _, _ in images],
                [role for _, role, _ in images],
                [propensity for _, _, propensity in images],
            ],
        )
    return len(images)


def close_queue(reviewer: Connection, queue: str, person: str) -> None:
    """Close a queue. It leases no more images, and keeps later answers."""
    with map_errors():
        reviewer.execute("SELECT close_review_queue(%s, %s)", [queue, person])


def queues(reader: Connection, name: str | None = None) -> list[Queue]:
    """Return every queue, the newest first.

    Args:
        reader: A reader's connection.
        name: Only the queue of this name.
    """
    with map_errors():
        return [
            Queue(name, strategy, Scope.of_row(kinds, labels), *rest)
            for name, strategy, kinds, labels, *rest in reader.execute(_QUEUES, [name, name])
        ]


Chosen: TypeAlias = tuple[UUID, Literal["chosen", "audit", "gold"], float | None]
"""An image, why it is in the queue, and the chance with which it was drawn."""


def _choose(
    reader: Connection, definition: QueueDefinition, dice: random.Random
) -> tuple[list[Chosen], int]:
    """Return the images in order, and how many there are to choose from.

    They are chosen from ``SAMPLE`` images if there are more, and the number of all is estimated.
    """
    selection = definition.selection
    golden = 0 if definition.gold is None else round(definition.size * definition.gold_share)
    start = UUID(int=dice.getrandbits(128))
    most = max(SAMPLE, definition.size)
    matching = sql.SQL(_MATCHING).format(
        runs=selection.run_condition(),
        found=sql.SQL(
            _HAS_FOUND if selection.labels or selection.min_confidence else "true"
        ).format(selection.detection_condition()),
    )
    query = sql.SQL(_CHOSEN).format(
        matching=matching,
        start=sql.Literal(start),
        most=sql.Literal(most),
        strategy=sql.SQL(_STRATEGIES[definition.strategy]).format(
            found=sql.SQL(_FOUND).format(
                detectors=sql.Literal(list(selection.detectors) or None),
                labels=sql.Literal(list(selection.labels) or None),
            ),
            kept=KEPT,
            number=sql.Literal(definition.size),
        ),
        audit=sql.SQL(_STRATEGIES["random"]).format(
            number=sql.Literal(round(definition.size * definition.audit_share))
        ),
        gold=sql.SQL(_GOLD).format(
            matching=matching, name=sql.Literal(definition.gold), number=sql.Literal(golden)
        ),
    )
    row = reader.execute(query).fetchone()
    assert row is not None  # noqa: S101 - one row always
    looked, last, wanted, audit, gold = row
    # Ids are digests, and so are spread evenly.
    share = 1.0 if looked < most else ((last.int - start.int) % 2**128 or 1) / 2**128
    population = max(looked, round(looked / share))
    seen = {*audit, *gold}
    rest = [one for one in wanted if one not in seen][: definition.size - len(seen)]
    chosen: list[Chosen] = [(one, "chosen", None) for one in rest]
    hidden: list[Chosen] = [(one, "audit", len(audit) / population) for one in audit]
    hidden += [(one, "gold", None) for one in gold if one not in set(audit)]
    for one in hidden:  # anywhere, so that people can't tell which they are
        chosen.insert(dice.randint(0, len(chosen)), one)
    return chosen, population


def _described(definition: QueueDefinition, population: int) -> dict[str, Any]:
    """Return the record of how the images were chosen."""
    selection = definition.selection
    return {
        "since": None if selection.since is None else selection.since.isoformat(),
        "until": None if selection.until is None else selection.until.isoformat(),
        "detectors": list(selection.detectors),
        "labels": list(selection.labels),
        "min_confidence": selection.min_confidence,
        "prefix": selection.prefix,
        "images": population,
        "audit_share": definition.audit_share,
        "gold_share": definition.gold_share if definition.gold is not None else 0,
    }


_TAKEN = """
    SELECT 'a queue' FROM review_queues WHERE name = %(name)s
    UNION ALL
    SELECT 'an imported truth' FROM truths WHERE name = %(name)s AND source = 'import'
    UNION ALL
    SELECT 'a detector' WHERE EXISTS (SELECT FROM run_counts WHERE detector = %(name)s)
    LIMIT 1
"""

_QUEUES = """
    SELECT
        queue.name, queue.strategy, queue.scope_kinds, queue.scope_labels, queue.detectors,
        queue.overlap, queue.blind, queue.created_by, queue.created_at, queue.closed_at,
        count(*) FILTER (WHERE place.state = 'open'),
        count(*) FILTER (WHERE place.state = 'disputed'),
        count(*) FILTER (WHERE place.state = 'settled')
    FROM review_queues AS queue
    LEFT JOIN review_images AS place USING (queue_id)
    WHERE %s::text IS NULL OR queue.name = %s
    GROUP BY queue.queue_id
    ORDER BY queue.created_at DESC, queue.queue_id DESC
"""

# One statement, so that the images are selected once. They are read in the order of their ids from
# a random one on, and then from the first one on.
_CHOSEN: LiteralString = """
    WITH selected AS MATERIALIZED (
        (
            SELECT images.image_id FROM images
            WHERE images.image_id >= {start} AND {matching}
            ORDER BY images.image_id LIMIT {most}
        )
        UNION ALL
        (
            SELECT images.image_id FROM images
            WHERE images.image_id < {start} AND {matching}
            ORDER BY images.image_id LIMIT {most}
        )
        LIMIT {most}
    )
    SELECT
        (SELECT count(*) FROM selected),
        (
            SELECT image_id FROM selected
            ORDER BY image_id < {start} DESC, image_id DESC
            LIMIT 1
        ),
        ARRAY({strategy}), ARRAY({audit}), ARRAY({gold})
"""

# OFFSET 0, here and below, has each image looked up by indexes. To join all of the history and use
# a hundredth of it takes much longer.
_MATCHING: LiteralString = """
    images.deleted_at IS NULL
    AND NOT EXISTS (SELECT FROM videos WHERE videos.image_id = images.image_id OFFSET 0)
    AND EXISTS (
        SELECT FROM runs WHERE runs.image_id = images.image_id AND {runs} AND {found} OFFSET 0
    )
"""

_HAS_FOUND: LiteralString = """EXISTS (
    SELECT FROM detections
    WHERE {} AND detections.detected_at BETWEEN runs.started_at AND runs.started_at
)"""

_FOUND: LiteralString = """
    SELECT found.*
    FROM selected
    CROSS JOIN LATERAL (
        SELECT * FROM latest_detections WHERE image_id = selected.image_id OFFSET 0
    ) AS found
    WHERE ({detectors}::text[] IS NULL OR found.detector = ANY ({detectors}))
        AND ({labels}::text[] IS NULL OR found.label = ANY ({labels}))
"""

_GOLD: LiteralString = """
    SELECT images.image_id
    FROM truths JOIN images ON images.image_id = truths.image_id
    WHERE truths.name = {name} AND {matching}
    ORDER BY random() LIMIT {number}
"""

_STRATEGIES: dict[str, LiteralString] = {
    "random": "SELECT image_id FROM selected ORDER BY random() LIMIT {number}",
    "uncertain": """
        SELECT image_id FROM ({found}) AS found
        GROUP BY image_id
        ORDER BY min(abs(confidence - 0.5)), image_id LIMIT {number}
    """,
    "rare": """
        SELECT image_id FROM ({found}) AS found
        JOIN (
            SELECT kind, lower(label) AS folded, sum(detections) AS number
            FROM label_counts_daily GROUP BY 1, 2
        ) AS counted ON counted.kind = found.kind AND counted.folded = lower(found.label)
        GROUP BY image_id
        ORDER BY min(number), image_id LIMIT {number}
    """,
    # A detector disagrees only about labels that it can find, and in detections that still exist.
    "disagreement": """
        WITH looks AS (
            SELECT DISTINCT ON (runs.image_id, runs.detector, runs.detector_version)
                runs.image_id, runs.run_id, runs.started_at, runs.detector, runs.detector_version
            FROM selected
            CROSS JOIN LATERAL (
                SELECT * FROM runs
                WHERE runs.image_id = selected.image_id AND runs.outcome = 'succeeded'
                    AND runs.model_version IS DISTINCT FROM 'emulator' AND {kept}
                OFFSET 0
            ) AS runs
            ORDER BY runs.image_id, runs.detector, runs.detector_version, runs.started_at DESC
        ), said AS (
            SELECT DISTINCT looks.image_id, looks.run_id, kind, lower(label) AS label
            FROM looks
            CROSS JOIN LATERAL (
                SELECT * FROM detections
                WHERE detections.run_id = looks.run_id
                    AND detections.detected_at BETWEEN looks.started_at AND looks.started_at
                OFFSET 0
            ) AS detections
        ), known AS (
            SELECT DISTINCT detector, detector_version, kind, lower(label) AS label
            FROM label_counts_daily
        ), votes AS (
            SELECT
                labels.image_id, count(*) AS able, count(said.run_id) AS found
            FROM (SELECT DISTINCT image_id, kind, label FROM said) AS labels
            JOIN looks USING (image_id)
            JOIN known ON known.detector = looks.detector
                AND known.detector_version = looks.detector_version
                AND known.kind = labels.kind AND known.label = labels.label
            LEFT JOIN said ON said.run_id = looks.run_id AND said.kind = labels.kind
                AND said.label = labels.label
            GROUP BY labels.image_id, labels.kind, labels.label
        )
        SELECT image_id FROM votes
        GROUP BY image_id HAVING sum(least(found, able - found)) > 0
        ORDER BY sum(least(found, able - found)) DESC, image_id LIMIT {number}
    """,
    "drift": """
        SELECT image_id FROM ({found}) AS found
        JOIN (
            SELECT
                detector, kind, label,
                abs(ln(
                    (coalesce(sum(detections) FILTER (WHERE recent), 0) + 1)
                    / (coalesce(sum(detections) FILTER (WHERE NOT recent), 0) / weeks + 1)
                )) AS change
            FROM (
                SELECT detector, kind, label, detections, day > last - 7 AS recent,
                    greatest((last - first) / 7.0, 1) AS weeks
                FROM label_counts_daily
                CROSS JOIN (
                    SELECT max(day) AS last, min(day) AS first FROM label_counts_daily
                ) AS days
            ) AS counted
            GROUP BY detector, kind, label, weeks
        ) AS changed USING (detector, kind, label)
        GROUP BY image_id
        ORDER BY max(change) DESC, image_id LIMIT {number}
    """,
}
