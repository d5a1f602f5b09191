"""Erase a person's names: detections, parts of raw responses, and the person's own rows.

This order is correct while workers write, and can be resumed after a crash at any point:

1. ``open`` records the request and forbids the names; triggers keep new rows out.
2. ``wait_for_writers`` waits until every transaction that began before has ended.
3. ``erase`` deletes in small transactions, each of which counts the removed rows.
4. ``close`` deletes the person's own rows and marks the erasure complete, in one transaction.

Opening an unfinished erasure again continues it. The rows that lead to everything else go last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from retinue_history.db.engine import map_engine_errors
from retinue_history.privacy.label_pruning import prune_labels
from retinue_history.privacy.planner_stats import PEOPLE, refresh_history_stats, refresh_stats
from retinue_history.privacy.write_barrier import exclude_writers

BATCH_ROWS = 1_000
"""Maximum number of rows in a transaction, so that it is short."""


@dataclass(frozen=True, slots=True)
class PersonNames:
    """The names of a person.

    Attributes:
        ids: Face ids and external image ids, as in attributes and raw responses.
        labels: Further labels of detections of kind ``face_match``.
    """

    ids: frozenset[str]
    labels: frozenset[str] = field(default_factory=frozenset)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements below."""
        return {"ids": sorted(self.ids), "labels": sorted(self.ids | self.labels)}


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure on record.

    Attributes:
        erasure_id: Its number.
        removed: The number of removed rows of each kind.
        requested_at: When it began.
        completed_at: When it was verified; ``None`` until then.
    """

    erasure_id: int
    removed: Mapping[str, int]
    requested_at: datetime
    completed_at: datetime | None


_DOOMED = """
    SELECT detection_id FROM detections
    WHERE attributes ?| ARRAY['Face', 'FaceId', 'UserId']
        AND faces_named(attributes) && CAST(:ids AS text[])
    UNION
    SELECT detection_id FROM detections
    WHERE kind = 'face_match' AND label = ANY(CAST(:labels AS text[]))
"""

_NAMING_RUNS = """
    SELECT run_id FROM runs
    WHERE raw_response ?| ARRAY[
            'SearchFacesByImage', 'SearchFaces', 'IndexFaces', 'SearchUsersByImage', 'SearchUsers'
        ]
        AND faces_named(raw_response) && CAST(:ids AS text[])
"""

_COUNT = text(f"""
    SELECT
        (SELECT count(*) FROM ({_DOOMED}) AS doomed) AS detections,
        (SELECT count(*) FROM ({_NAMING_RUNS}) AS naming) AS runs
""")  # noqa: S608 - the parts are the constants above

_IMAGES = text(f"""
    SELECT DISTINCT images.image_id, images.key
    FROM detections
    JOIN images ON images.image_id = detections.image_id
    WHERE detections.detection_id IN ({_DOOMED})
""")  # noqa: S608 - the parts are the constants above

_DELETE_DETECTIONS = text(f"""
    WITH doomed AS ({_DOOMED} LIMIT :rows),
    gone AS (
        DELETE FROM detections USING doomed
        WHERE detections.detection_id = doomed.detection_id
        RETURNING run_id
    ),
    touched AS (SELECT run_id, count(*) AS detections FROM gone GROUP BY run_id),
    cut AS (
        UPDATE runs
        SET detection_count = detection_count - touched.detections,
            erased_at = now(),
            -- Without an id of the person, the run searched for that person only: CompareFaces.
            raw_response = CASE jsonb_typeof(raw_response)
                WHEN 'object' THEN raw_response - ARRAY['SourceImageFace', 'FaceMatches']
                ELSE raw_response
            END
        FROM touched
        WHERE runs.run_id = touched.run_id
    )
    SELECT count(*) FROM gone
""")  # noqa: S608 - the parts are the constants above

_CUT_RUNS = text(f"""
    UPDATE runs
    SET raw_response = without_faces(raw_response, CAST(:ids AS text[])), erased_at = now()
    WHERE run_id IN ({_NAMING_RUNS} LIMIT :rows)
""")  # noqa: S608 - the parts are the constants above

# Truths and answers outlive detections. An answer keeps a copy of the shown findings.
_SAID = {
    "truth_items": """
        (kind = 'face_match' AND label = ANY(CAST(:labels AS text[])))
        OR (attributes ?| ARRAY['Face', 'FaceId', 'UserId']
            AND faces_named(attributes) && CAST(:ids AS text[]))
    """,
    "answer_items": """
        ((kind = 'face_match' OR shown ->> 'kind' = 'face_match')
            AND ARRAY[label, shown ->> 'label'] && CAST(:labels AS text[]))
        OR faces_named(attributes) && CAST(:ids AS text[])
        OR faces_named(shown) && CAST(:ids AS text[])
    """,
}

_SCOPED = ("truths", "answers", "review_queues")
"""Tables whose scopes can contain the name."""

_SCOPES = " + ".join(
    f"(SELECT count(*) FROM {table} WHERE scope_labels && CAST(:labels AS text[]))"  # noqa: S608
    for table in _SCOPED
)

_DELETE_SAID = {
    table: text(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {naming} LIMIT :rows
        ))
    """)  # noqa: S608 - the parts are the constants above
    for table, naming in _SAID.items()
}

_CUT_SCOPES = [
    text(f"""
        UPDATE {table} SET scope_labels = ARRAY(
            SELECT label FROM unnest(scope_labels) AS label
            WHERE label <> ALL(CAST(:labels AS text[]))
        )
        WHERE scope_labels && CAST(:labels AS text[])
    """)  # noqa: S608 - the parts are the constants above
    for table in _SCOPED
]

_CUT_SELECTIONS = text("""
    UPDATE review_queues SET selection = selection - 'labels'
    WHERE selection -> 'labels' ?| CAST(:labels AS text[])
""")

# A dropped month keeps its counts, which contain the name.
_COUNTED = text(f"""
    SELECT
        (SELECT count(*) FROM label_counts
        WHERE kind = 'face_match' AND label = ANY(CAST(:labels AS text[])))
        + (SELECT count(*) FROM labels
        WHERE kind = 'face_match' AND label = ANY(CAST(:labels AS text[])))
        + (SELECT count(*) FROM truth_items WHERE {_SAID["truth_items"]})
        + (SELECT count(*) FROM answer_items WHERE {_SAID["answer_items"]})
        + (SELECT count(*) FROM review_queues
        WHERE selection -> 'labels' ?| CAST(:labels AS text[]))
        + {_SCOPES}
""")  # noqa: S608 - the parts are the constants above

_DELETE_COUNTS = text("""
    DELETE FROM label_counts
    WHERE kind = 'face_match' AND label = ANY(CAST(:labels AS text[]))
        AND ctid = ANY(ARRAY(
            SELECT ctid FROM label_counts
            WHERE kind = 'face_match' AND label = ANY(CAST(:labels AS text[])) LIMIT :rows
        ))
""")

_FORBID = text("""
    INSERT INTO erased_names (digest, erasure_id)
    SELECT erasure_digest(name), :erasure_id FROM unnest(CAST(:labels AS text[])) AS name
    ON CONFLICT DO NOTHING
""")

_OPEN = text("""
    INSERT INTO erasures (subject_kind, subject_digest)
    VALUES (:kind, erasure_digest(:kind || ':' || :subject))
    ON CONFLICT (subject_kind, subject_digest) WHERE completed_at IS NULL
        DO UPDATE SET subject_kind = excluded.subject_kind
    RETURNING erasure_id
""")

_LAST = text("""
    SELECT erasure_id, removed, requested_at, completed_at
    FROM erasures
    WHERE subject_kind = :kind AND subject_digest = erasure_digest(:kind || ':' || :subject)
    ORDER BY erasure_id DESC
    LIMIT 1
""")

_ADD = text("""
    UPDATE erasures
    SET removed = removed || jsonb_build_object(
        CAST(:what AS text), coalesce(CAST(removed ->> :what AS bigint), 0) + :number
    )
    WHERE erasure_id = :erasure_id AND :number > 0
""")

_DELETE_FACES = text("""
    DELETE FROM faces USING people
    WHERE faces.person_id = people.person_id
        AND (face_id = ANY(CAST(:ids AS text[])) OR external_image_id = ANY(CAST(:ids AS text[])))
""")

_DELETE_PEOPLE = text("DELETE FROM people WHERE external_image_id = ANY(CAST(:ids AS text[]))")

_CLOSE = text("""
    UPDATE erasures SET completed_at = now() WHERE erasure_id = :erasure_id
    RETURNING erasure_id, removed, requested_at, completed_at
""")


class Erasures:
    """The erasures of one database.

    Args:
        engine: From ``create_history_engine``; the login must own the tables. Set a statement
            timeout long enough for a large history.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def last(self, kind: str, subject: str) -> Erasure | None:
        """Return the last erasure of a subject; ``None`` if none was requested."""
        with map_engine_errors(), self._engine.connect() as connection:
            row = connection.execute(_LAST, {"kind": kind, "subject": subject}).one_or_none()
        return None if row is None else Erasure(*row)

    def open(self, kind: str, subject: str, names: PersonNames) -> int:
        """Begin an erasure, or continue an unfinished one, and forbid the names.

        Args:
            kind: The kind of subject, such as ``person``.
            subject: Its name; only a digest is stored.
            names: From now on, nothing with one of these names is recorded.

        Returns:
            The erasure's id.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            erasure_id = self.begin(connection, kind, subject)
            connection.execute(_FORBID, {"erasure_id": erasure_id, **names.parameters()})
            return erasure_id

    @staticmethod
    def begin(connection: Connection, kind: str, subject: str) -> int:
        """Record the request, or find the unfinished erasure.

        Returns:
            The erasure's id.
        """
        return int(connection.scalar(_OPEN, {"kind": kind, "subject": subject}))

    def wait_for_writers(self) -> None:
        """Wait until every transaction has ended that may not have seen the forbidden names.

        Raises:
            HistoryUnavailableError: A transaction of a worker took too long.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            exclude_writers(connection)

    def count(self, names: PersonNames) -> tuple[int, int]:
        """Count the detections and raw responses that contain the names."""
        with map_engine_errors(), self._engine.connect() as connection:
            detections, runs = connection.execute(_COUNT, names.parameters()).one()
        return detections, runs

    def images(self, names: PersonNames) -> dict[UUID, str]:
        """Return the keys of images in which detections contain the names, by image id."""
        with map_engine_errors(), self._engine.connect() as connection:
            rows = connection.execute(_IMAGES, names.parameters()).all()
        return {row.image_id: row.key for row in rows}

    def counted(self, names: PersonNames) -> int:
        """Count the rows of counts, labels, truths and reviews that contain the names."""
        with map_engine_errors(), self._engine.connect() as connection:
            return int(connection.execute(_COUNTED, names.parameters()).scalar_one())

    def erase(self, erasure_id: int, names: PersonNames) -> Iterable[int]:
        """Delete detections and people's answers, and remove the names from everything else.

        Yields:
            The number of rows after each commit.

        Raises:
            HistoryUnavailableError: The database can't answer; committed erasures stay.
        """
        for what, statement in (("detections", _DELETE_DETECTIONS), ("runs", _CUT_RUNS)):
            while number := self._one_batch(erasure_id, what, statement, names):
                yield number
        for table, statement in _DELETE_SAID.items():
            while number := self._one_batch(erasure_id, table, statement, names):
                yield number
        for statement in (*_CUT_SCOPES, _CUT_SELECTIONS):
            self._one_batch(erasure_id, "", statement, names)
        while number := self._one_batch(erasure_id, "", _DELETE_COUNTS, names):
            yield number
        yield from prune_labels(self._engine)
        refresh_history_stats(self._engine)

    def add(self, erasure_id: int, **removed: int) -> None:
        """Record removals elsewhere, such as ``face_vectors=3``."""
        with map_engine_errors(), self._engine.begin() as connection:
            for what, number in removed.items():
                add_removed(connection, erasure_id, what, number)

    def close(self, erasure_id: int, names: PersonNames) -> Erasure:
        """Delete the person's own rows and mark the erasure complete."""
        with map_engine_errors(), self._engine.begin() as connection:
            parameters = names.parameters()
            faces = connection.execute(_DELETE_FACES, parameters).rowcount
            people = connection.execute(_DELETE_PEOPLE, parameters).rowcount
            add_removed(connection, erasure_id, "faces", faces)
            add_removed(connection, erasure_id, "people", people)
            refresh_stats(connection, PEOPLE)
            return close_erasure(connection, erasure_id)

    def _one_batch(self, erasure_id: int, what: str, statement: Any, names: PersonNames) -> int:
        parameters = {**names.parameters(), "rows": BATCH_ROWS}
        with map_engine_errors(), self._engine.begin() as connection:
            done = connection.execute(statement, parameters)
            number = int(done.scalar_one()) if done.returns_rows else done.rowcount
            if what:
                add_removed(connection, erasure_id, what, number)
        return number


def add_removed(connection: Connection, erasure_id: int, what: str, number: int) -> None:
    """Record removals, in an open transaction."""
    connection.execute(_ADD, {"erasure_id": erasure_id, "what": what, "number": number})


def close_erasure(connection: Connection, erasure_id: int) -> Erasure:
    """Mark an erasure complete, in an open transaction."""
    return Erasure(*connection.execute(_CLOSE, {"erasure_id": erasure_id}).one())
