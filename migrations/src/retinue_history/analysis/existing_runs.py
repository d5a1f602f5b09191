"""Look up images that exist and have runs, page by page, for a backfill."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg.rows import scalar_row

from retinue_history.db.persistent import PersistentConnection

_WITH_RUNS: LiteralString = """
    SELECT asked.image_id
    FROM unnest(%(ids)s::uuid[]) AS asked (image_id)
    WHERE EXISTS (SELECT FROM runs WHERE runs.image_id = asked.image_id)
        AND EXISTS (
            SELECT FROM images
            WHERE images.image_id = asked.image_id AND images.deleted_at IS NULL
        )
"""


class ExistingRuns:
    """Looks up which images have runs, on one connection.

    Args:
        url: The database; the login can be a reader.

    Raises:
        HistoryUnavailableError: The database can't be reached.
    """

    def __init__(self, url: str) -> None:
        self._connection = PersistentConnection(url, "retinue backfill")

    def among(self, image_ids: Sequence[UUID]) -> set[UUID]:
        """Return the images that have a run and don't count as deleted.

        Raises:
            HistoryUnavailableError: The database doesn't answer now; a retry may help.
        """
        return set(self._connection.fetch(_WITH_RUNS, {"ids": [*image_ids]}, scalar_row))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
