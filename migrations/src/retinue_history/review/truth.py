"""Settled ground truth, from imports and reviews: one truth per image and name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistoryDataError
from retinue_history.db.snapshot import Snapshot
from retinue_history.recording.records import Box

MadeBy: TypeAlias = Literal["people", "bulk", "machine"]
"""Who decided: people one by one, a person about many images, or a machine (in an import)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The things that were looked for. Outside it, a finding is neither right nor wrong.

    Attributes:
        kinds: The kinds of things; ``None`` for all.
        labels: The labels; ``None`` for all.
    """

    kinds: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None

    def covers(self, kind: str, label: str) -> bool:
        """Return whether a thing of this kind and label was looked for."""
        return (self.kinds is None or kind in self.kinds) and (
            self.labels is None or label in self.labels
        )

    def intersection(self, other: "Scope") -> "Scope":
        """Return the scope that both have."""
        return Scope(_common(self.kinds, other.kinds), _common(self.labels, other.labels))

    def as_json(self) -> dict[str, Any]:
        """Return the two fields that the database's functions take."""
        return {
            "scope_kinds": None if self.kinds is None else list(self.kinds),
            "scope_labels": None if self.labels is None else list(self.labels),
        }

    @classmethod
    def of_row(cls, kinds: Sequence[str] | None, labels: Sequence[str] | None) -> "Scope":
        """Return the scope of two columns."""
        return cls(
            None if kinds is None else tuple(kinds), None if labels is None else tuple(labels)
        )


EVERYTHING = Scope()


def _common(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(value for value in one if value in other)


@dataclass(frozen=True, slots=True)
class TruthItem:
    """A thing in an image, or one that people said is not there.

    Attributes:
        kind: The kind of thing: label, face, text, …
        label: Its label.
        box: Its box; ``None`` for the whole image.
        present: False if it was shown to people, and they said that it isn't there.
        confidence: Its confidence, 0 to 1; below 1 only if an imported file has one.
        attributes: Everything else that is known of it.
    """

    kind: str
    label: str
    box: Box | None = None
    present: bool = True
    confidence: float = 1.0
    attributes: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON that the database's functions take."""
        return {
            "kind": self.kind,
            "label": self.label,
            "box": None if self.box is None else list(self.box),
            "present": self.present,
            "confidence": self.confidence,
            "attributes": self.attributes,
        }


@dataclass(frozen=True, slots=True)
class Truth:
    """The settled truth of one image.

    Attributes:
        image_id: The image.
        name: The name of the import, or of the queue.
        source: Its origin.
        scope: Labels that people or detectors looked for.
        exhaustive: Whether everything within the scope is among the items. If not, a finding
            without a counterpart is unknown, not wrong.
        made_by: The kind of author, such as people.
        propensity: The chance that the image had of being drawn at random; ``None`` if it was
            chosen for what it shows.
        settled_at: When it was imported, or when the answers agreed.
        items: Things that are in the image, and things that aren't.
    """

    image_id: UUID
    name: str
    source: Literal["import", "review"]
    scope: Scope
    exhaustive: bool
    made_by: MadeBy
    propensity: float | None
    settled_at: datetime
    items: tuple[TruthItem, ...]


@dataclass(frozen=True, slots=True)
class ImportedTruth:
    """The truth of one image, from a file.

    Attributes:
        image_id: The image.
        items: Things that are in it.
        scope: Labels that people or detectors looked for.
        exhaustive: Whether everything within the scope is among the items.
        made_by: people, or machine by the file.
        size_px: Width and height, saved if the history doesn't have them.
    """

    image_id: UUID
    items: tuple[TruthItem, ...]
    scope: Scope
    exhaustive: bool = True
    made_by: MadeBy = "people"
    size_px: tuple[int, int] | None = None


class TruthName(NamedTuple):
    """A truth of the history.

    Attributes:
        name: Its name.
        source: import or review.
        images: Number of its images.
    """

    name: str
    source: str
    images: int


def truth_names(connection: Connection) -> list[TruthName]:
    """Return every truth, by name.

    Args:
        connection: A reader's.
    """
    with map_errors():
        rows = connection.execute(
            "SELECT name, min(source), count(*) FROM truths GROUP BY name ORDER BY name"
        )
        return [TruthName(*row) for row in rows]


def truth_of(connection: Connection, image_id: UUID) -> list[Truth]:
    """Return every truth of an image, by name.

    Args:
        connection: A reader's.
        image_id: The image.
    """
    with map_errors():
        rows = connection.execute(_OF_IMAGE, [image_id]).fetchall()
    return [_truth(list(group)) for _, group in groupby(rows, key=lambda row: row[0])]


def _truth(rows: list[tuple[Any, ...]]) -> Truth:
    _, image_id, name, source, kinds, labels, exhaustive, made_by, propensity, settled_at = rows[0][
        :10
    ]
    return Truth(
        image_id,
        name,
        source,
        Scope.of_row(kinds, labels),
        exhaustive,
        made_by,
        propensity,
        settled_at,
        tuple(item_of_row(row[10:]) for row in rows if row[10] is not None),
    )


def item_of_row(row: Sequence[Any]) -> TruthItem:
    """Return the item of kind, label, present, confidence, four sides and attributes."""
    kind, label, present, confidence, left, top, width, height, attributes = row
    box = None if left is None else (left, top, width, height)
    return TruthItem(kind, label, box, present, confidence, attributes)


_ITEM = """
    truth_items.kind, truth_items.label, truth_items.present, truth_items.confidence,
    truth_items.box_left, truth_items.box_top, truth_items.box_width, truth_items.box_height,
    truth_items.attributes
"""

_OF_IMAGE = f"""
    SELECT
        truths.truth_id, truths.image_id, truths.name, truths.source, truths.scope_kinds,
        truths.scope_labels, truths.exhaustive, truths.made_by, truths.propensity,
        truths.settled_at, {_ITEM}
    FROM truths
    LEFT JOIN truth_items USING (truth_id)
    WHERE truths.image_id = %s
    ORDER BY truths.name, truth_items.ordinal
"""  # noqa: S608 - ours


def is_truth(snapshot: Snapshot, name: str) -> bool:
    """Return whether the history has a truth of this name."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM truths WHERE name = {})")
    return bool(snapshot.one(query.format(sql.Literal(name)))[0])


def truth_rows(name: str, selection: Selection) -> sql.Composed:
    """SQL for a truth: a row for each item, and one with nulls for an empty image.

    The columns are those of the image (id, bucket, key, version, versioned, width, height), of the
    truth (settled_at, source, scope_kinds, scope_labels, exhaustive, made_by, propensity), and
    those of ``item_of_row``. The rows of an image come together, in the order of image ids.

    Args:
        name: The truth's name.
        selection: Images to select; filters of runs and detections are ignored.
    """
    return sql.SQL(
        """SELECT
    images.image_id, images.bucket, images.key, images.version, images.versioned,
    images.width_px, images.height_px,
    truths.settled_at, truths.source, truths.scope_kinds, truths.scope_labels, truths.exhaustive,
    truths.made_by, truths.propensity, {item}
FROM truths
JOIN images ON images.image_id = truths.image_id
LEFT JOIN truth_items ON truth_items.truth_id = truths.truth_id
WHERE truths.name = {name} AND {images}
ORDER BY images.image_id, truth_items.ordinal"""
    ).format(item=sql.SQL(_ITEM), name=sql.Literal(name), images=selection.image_condition())


def save_imported_truths(
    connection: Connection,
    name: str,
    digest: str,
    batches: Iterable[Sequence[ImportedTruth]],
    *,
    person: str,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Save a file's truths under a name, in one transaction. They replace earlier ones.

    Args:
        connection: Of the tables' owner.
        name: The truth's name.
        digest: The digest of the file's content. Images that have it already are left as they are.
        batches: The truths, some hundred at a time.
        person: The login of the person who imports, for the audit log.
        advance: Called after each batch with its number of images.

    Returns:
        Number of images with a new truth.

    Raises:
        HistoryUnavailableError: The database cannot take rows now. Nothing was saved.
        HistoryDataError: It never can take these, or a detector or a queue has that name. Nothing
            was saved.
    """
    saved = 0
    with map_errors(), connection.transaction():
        taken = connection.execute(_TAKEN, {"name": name}).fetchone()
        if taken is not None:
            raise HistoryDataError(f"{name} is the name of a {taken[0]}: choose another")
        for batch in batches:
            saved += _save(connection, name, digest, batch)
            advance(len(batch))
        connection.execute(
            "SELECT log_act(%s, 'truth_imported', NULL, NULL, %s)",
            [person, Jsonb({"name": name, "images": saved, "digest": digest})],
        )
    return saved


def _save(connection: Connection, name: str, digest: str, batch: Sequence[ImportedTruth]) -> int:
    ordered = sorted(batch, key=lambda one: one.image_id)  # the order of all locks
    sized = [(one.image_id, one.size_px) for one in ordered if one.size_px is not None]
    connection.execute(
        _SAVE_SIZES,
        {
            "ids": [image_id for image_id, _ in sized],
            "widths": [size_px[0] for _, size_px in sized],
            "heights": [size_px[1] for _, size_px in sized],
        },
    )
    row = connection.execute(
        _SAVE,
        {
            "name": name,
            "digest": digest,
            "ids": [one.image_id for one in ordered],
            "truths": [
                Jsonb(
                    {
                        **one.scope.as_json(),
                        "exhaustive": one.exhaustive,
                        "made_by": one.made_by,
                        "digest": digest,
                        "items": [item.as_json() for item in one.items],
                    }
                )
                for one in ordered
            ],
        },
    ).fetchone()
    return 0 if row is None else int(row[0])


_TAKEN = """
    SELECT 'queue' FROM review_queues WHERE name = %(name)s
    UNION ALL
    SELECT 'detector' WHERE EXISTS (SELECT FROM runs WHERE detector = %(name)s)
    LIMIT 1
"""

_SAVE_SIZES = """
    UPDATE images SET width_px = told.width_px, height_px = told.height_px
    FROM unnest(%(ids)s::uuid[], %(widths)s::int[], %(heights)s::int[])
        AS told (image_id, width_px, height_px)
    WHERE images.image_id = told.image_id AND images.width_px IS NULL
"""

_SAVE = """
    SELECT count(save_truth(given.image_id, %(name)s, 'import', given.truth)::text)
    FROM unnest(%(ids)s::uuid[], %(truths)s::jsonb[]) AS given (image_id, truth)
    WHERE NOT EXISTS (
        SELECT FROM truths
        WHERE truths.image_id = given.image_id AND truths.name = %(name)s
            AND truths.digest = %(digest)s
    )
"""
