"""Remove unused labels from the counts, the list of labels and the hierarchy.

Triggers subtract deleted detections and can leave a count of zero, which still names the label. A
label that isn't counted on any day, not even in a month whose detections were dropped, is removed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, text

from retinue_history.db.engine import map_engine_errors
from retinue_history.privacy.write_barrier import exclude_writers

BATCH_ROWS = 500
"""Rows of one transaction. Writers wait meanwhile. Each row needs one index lookup."""

_ZEROS = text("""
    SELECT day, label, series FROM label_counts GROUP BY day, label, series
    HAVING sum(detections) = 0 AND sum(confidence_ppm) = 0
""")

_DELETE_ZEROS = text("""
    DELETE FROM label_counts AS gone USING (
        SELECT day, label, series
        FROM unnest(
            CAST(:first AS date[]), CAST(:second AS text[]), CAST(:third AS bigint[])
        ) AS asked (day, label, series)
        JOIN label_counts USING (day, label, series)
        GROUP BY day, label, series
        HAVING sum(detections) = 0 AND sum(confidence_ppm) = 0
    ) AS zero
    WHERE gone.day = zero.day AND gone.label = zero.label AND gone.series = zero.series
""")

_LOST = """
    NOT EXISTS (
        SELECT FROM label_counts WHERE label_counts.label = labels.label
            AND label_counts.kind = labels.kind
    )
    AND NOT EXISTS (
        SELECT FROM truth_items
        WHERE truth_items.label = labels.label AND truth_items.kind = labels.kind
    )
"""

_LOST_LABELS = text(f"SELECT label, kind FROM labels WHERE {_LOST}")  # noqa: S608 - ours

_DELETE_LABELS = text(f"""
    DELETE FROM labels
    USING unnest(CAST(:first AS text[]), CAST(:second AS text[])) AS asked (label, kind)
    WHERE labels.label = asked.label AND labels.kind = asked.kind AND {_LOST}
""")  # noqa: S608 - ours

_UNSAID = """
    NOT EXISTS (SELECT FROM label_counts WHERE label_counts.label = label_parents.label)
    AND NOT EXISTS (SELECT FROM truth_items WHERE truth_items.label = label_parents.label)
    -- Recognized texts are counted without their content.
    AND NOT EXISTS (
        SELECT FROM detections
        WHERE detections.label = label_parents.label AND detections.kind = 'text'
    )
"""

_LOST_PARENTS = text(f"SELECT label, parent FROM label_parents WHERE {_UNSAID}")  # noqa: S608 - ours

_DELETE_PARENTS = text(f"""
    DELETE FROM label_parents
    USING unnest(CAST(:first AS text[]), CAST(:second AS text[])) AS asked (label, parent)
    WHERE label_parents.label = asked.label AND label_parents.parent = asked.parent AND {_UNSAID}
""")  # noqa: S608 - ours

_STEPS = (
    (_ZEROS, _DELETE_ZEROS),
    (_LOST_LABELS, _DELETE_LABELS),
    (_LOST_PARENTS, _DELETE_PARENTS),
)


def prune_labels(engine: Engine) -> Iterator[int]:
    """Remove counts of zero, and then labels that aren't counted.

    Candidates are found while writers continue. Writers wait only while a batch is checked again
    and deleted.

    Args:
        engine: The database, as the tables' owner.

    Yields:
        Number of rows that each transaction removed.

    Raises:
        HistoryUnavailableError: The database can't answer; committed removals stay.
    """
    for question, deletion in _STEPS:
        with map_engine_errors(), engine.connect() as connection:
            found = connection.execute(question).all()
        for start in range(0, len(found), BATCH_ROWS):
            if number := _delete(engine, deletion, found[start : start + BATCH_ROWS]):
                yield number


def _delete(engine: Engine, deletion: Any, rows: Sequence[Any]) -> int:
    columns = map(list, zip(*rows, strict=True))
    parameters = dict(zip(("first", "second", "third"), columns, strict=False))
    with map_engine_errors(), engine.begin() as connection:
        exclude_writers(connection)
        return connection.execute(deletion, parameters).rowcount
