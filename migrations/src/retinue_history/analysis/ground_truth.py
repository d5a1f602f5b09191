"""Find the images of annotations made elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from retinue_history.db.engine import map_engine_errors


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image of the history with a given name.

    Attributes:
        image_id: Its id.
        bucket: The bucket's name.
        key: The object's key.
        width_px: Its width as displayed; ``None`` if it was never decoded.
        height_px: Its height.
    """

    image_id: UUID
    bucket: str
    key: str
    width_px: int | None
    height_px: int | None


def images_by_name(
    engine: Engine, names: Sequence[str], *, bucket: str | None = None
) -> dict[str, list[KnownImage]]:
    """Return the images for names, among those that still exist.

    A name is a whole key, the end of one after a ``/``, or an ``s3://`` URI. Of several versions of
    one object, the last upload counts.

    Args:
        engine: The history.
        names: The names.
        bucket: Search only this bucket.

    Returns:
        The images of each known name. There is one, unless the name is ambiguous.

    Raises:
        HistoryUnavailableError: The database doesn't answer.
        HistoryDataError: A name contains characters that no key can have.
    """
    with map_engine_errors(), engine.connect() as connection:
        rows = connection.execute(_BY_NAME, {"name": list(names), "bucket": bucket})
        found: dict[str, list[KnownImage]] = {}
        for row in rows:
            found.setdefault(row.name, []).append(KnownImage(*row[1:]))
    return found


def images_by_id(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, KnownImage]:
    """Return images by their ids, even if they no longer exist.

    Raises:
        HistoryUnavailableError: The database doesn't answer.
    """
    with map_engine_errors(), engine.connect() as connection:
        rows = connection.execute(_BY_ID, {"image_id": list(ids)})
        return {row.image_id: KnownImage(*row) for row in rows}


# Names are joined to keys by the part after the last slash, so a hash join handles any number.
_BY_NAME = text("""
    SELECT DISTINCT ON (wanted.name, images.bucket, images.key)
        wanted.name, images.image_id, images.bucket, images.key, images.width_px, images.height_px
    FROM (
        SELECT DISTINCT
            name,
            substring(name FROM '^s3://([^/]+)/') AS bucket,
            regexp_replace(name, '^s3://[^/]+/', '') AS key
        FROM unnest(CAST(:name AS text[])) AS name
    ) AS wanted
    JOIN images
        ON substring(images.key FROM '[^/]*$') = substring(wanted.key FROM '[^/]*$')
        AND images.deleted_at IS NULL
        AND CASE
            WHEN wanted.bucket IS NULL
            THEN right('/' || images.key, length(wanted.key) + 1) = '/' || wanted.key
            ELSE images.key = wanted.key AND images.bucket = wanted.bucket
        END
        AND (CAST(:bucket AS text) IS NULL OR images.bucket = CAST(:bucket AS text))
    ORDER BY wanted.name, images.bucket, images.key, images.last_uploaded_at DESC,
        sequencer_rank(images.sequencer) DESC NULLS LAST
""")

_BY_ID = text("""
    SELECT image_id, bucket, key, width_px, height_px
    FROM images
    WHERE image_id = ANY(CAST(:image_id AS uuid[]))
""")
