"""Search with one field: ids and addresses of images, labels, words in images, keys."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row
from retinue_history.db.connections import Connection

from retinue_console.queries.filters import compare
from retinue_console.queries.reading import fetch, fetch_within

LABELS = 20
WORDS = 24
IMAGES = 24
"""Maximum number of labels, readings and images that a search lists."""

_WORDS_SINCE: tuple[LiteralString, ...] = (
    "now() - interval '1 day'",
    "now() - interval '7 days'",
    "now() - interval '60 days'",
    "'-infinity'",
)

MIN_PART = 3
"""The shortest part of a word that can be found: trigrams need as many characters."""


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """A label with the text in it.

    Attributes:
        label: The label.
        kind: The kind of its detections.
    """

    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class FoundWord:
    """A text that was read in an image.

    Attributes:
        image_id: The image.
        bucket: The bucket's name.
        key: The object's key.
        label: The text.
        detected_at: When it was read.
    """

    image_id: UUID
    bucket: str
    key: str
    label: str
    detected_at: datetime


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image with that id, address or beginning of the key.

    Attributes:
        image_id: Its id.
        bucket: The bucket's name.
        key: The object's key.
        uploaded_at: When S3 created it.
        deleted_at: When it was removed; none while it exists.
    """

    image_id: UUID
    bucket: str
    key: str
    uploaded_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """Results of a search. A list is ``None`` if it took too long.

    Attributes:
        text: The text that was searched for.
        images: Images by id, address or beginning of the key; in order of their keys.
        labels: Labels that have the text in them; those that begin with it first.
        words: Texts read in images that have it in them, the newest first.
    """

    text: str
    images: tuple[FoundImage, ...] | None
    labels: tuple[FoundLabel, ...] | None
    words: tuple[FoundWord, ...] | None


def search(connection: Connection, text: str, *, people: bool = True) -> Found:
    """Look for a text in everything that has a name. Spaces around it don't count.

    Each list takes at most ``OPTIONAL_MS``; words a little more.

    Args:
        connection: A reader's connection.
        text: The text.
        people: Whether people are found by their names.
    """
    text = text.strip()
    if not text:
        return Found(text, (), (), ())
    if (by_id := _by_id(connection, text)) is not None:
        return Found(text, by_id, (), ())
    address = re.fullmatch(r"s3://([^/]*)/?(.*)", text, re.DOTALL)
    if address is not None:
        return Found(text, _by_key(connection, address[2], address[1]), (), ())
    return Found(
        text,
        _by_key(connection, text),
        _labels(connection, text, people=people),
        _words(connection, text),
    )


def _by_id(connection: Connection, text: str) -> tuple[FoundImage, ...] | None:
    """Return the image with this id, if the text is an id and there is one."""
    try:
        image_id = UUID(text)
    except ValueError:
        return None
    return tuple(fetch(connection, compare(_BY_ID, image_id), class_row(FoundImage))) or None


def _by_key(
    connection: Connection, beginning: str, bucket: str | None = None
) -> tuple[FoundImage, ...] | None:
    """Images whose key begins so; in one bucket, or in all."""
    buckets = sql.SQL(BUCKETS) if bucket is None else compare("SELECT {}::text", bucket)
    query = sql.SQL(_BY_KEY).format(
        buckets=buckets, beginning=sql.Literal(beginning), limit=sql.Literal(IMAGES)
    )
    found = fetch_within(connection, query, class_row(FoundImage))
    return None if found is None else tuple(found)


def _labels(connection: Connection, text: str, *, people: bool) -> tuple[FoundLabel, ...] | None:
    query = compare(
        _LABELS_BY_PART if len(text) >= MIN_PART else _LABELS_BY_BEGINNING,
        like(text, at_start=True),
        like(text),
        LABELS,
        people,
    )
    found = fetch_within(connection, query, class_row(FoundLabel))
    return None if found is None else tuple(found)


def _words(connection: Connection, text: str) -> tuple[FoundWord, ...] | None:
    """Return the newest readings, of the last month if these suffice, or else of all."""
    if len(text) < MIN_PART:
        return ()
    found = None
    for since in _WORDS_SINCE:
        more = _words_since(connection, text, since)
        if more is None:
            break
        found = more
        if len(found) == WORDS:
            break
    return found


def _words_since(
    connection: Connection, text: str, since: LiteralString
) -> tuple[FoundWord, ...] | None:
    query = sql.SQL(_WORDS).format(
        since=sql.SQL(since), part=sql.Literal(like(text)), limit=sql.Literal(WORDS)
    )
    found = fetch_within(connection, query, class_row(FoundWord))
    return None if found is None else tuple(found)


def like(text: str, *, at_start: bool = False) -> str:
    """Return a pattern of LIKE for names with a text in them, or at their start."""
    literal = re.sub(r"([\\%_])", r"\\\1", text)
    return f"{literal}%" if at_start else f"%{literal}%"


_BY_ID = """SELECT image_id, bucket, key, uploaded_at, deleted_at
FROM images
WHERE image_id = {}"""

# All buckets: from each, one step to the next.
BUCKETS = """WITH RECURSIVE buckets (bucket) AS (
        (SELECT bucket FROM images ORDER BY bucket LIMIT 1)
        UNION ALL
        SELECT following.bucket
        FROM buckets
        CROSS JOIN LATERAL (
            SELECT bucket FROM images WHERE bucket > buckets.bucket ORDER BY bucket LIMIT 1
        ) AS following
    )
    SELECT bucket FROM buckets LIMIT 100"""

_BY_KEY = """SELECT found.*
FROM ({buckets}) AS named (bucket)
CROSS JOIN LATERAL (
    SELECT image_id, bucket, key, uploaded_at, deleted_at
    FROM images
    WHERE images.bucket = named.bucket AND starts_with(images.key, {beginning})
    ORDER BY key USING ~<~, uploaded_at DESC
    LIMIT {limit}
) AS found
ORDER BY found.deleted_at IS NULL DESC, found.key USING ~<~, found.uploaded_at DESC
LIMIT {limit}"""

_LABELS_BY_BEGINNING = """SELECT label, kind
FROM labels
WHERE lower(label) LIKE lower({0}) AND ({3} OR kind <> 'face_match')
ORDER BY lower(label), label, kind
LIMIT {2}"""

_LABELS_BY_PART = """SELECT label, kind
FROM labels
WHERE label ILIKE {1} AND ({3} OR kind <> 'face_match')
ORDER BY lower(label) LIKE lower({0}) DESC, lower(label), label, kind
LIMIT {2}"""

_WORDS = """SELECT found.image_id, images.bucket, images.key, found.label, found.detected_at
FROM (
    SELECT image_id, label, detected_at
    FROM detections
    WHERE kind = 'text' AND label ILIKE {part} AND detected_at >= {since}
    ORDER BY detected_at DESC
    LIMIT {limit}
) AS found
JOIN images ON images.image_id = found.image_id AND images.deleted_at IS NULL
ORDER BY found.detected_at DESC"""
