"""Which images the history has runs of: asked for one page of a backfill after the other."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg.rows import scalar_row
from sqlalchemy import URL

from retinue_history.db.persistent import StandingConnection

_KNOWN: LiteralString = """
    SELECT asked.image_id
    FROM unnest(%(ids)s::uuid[]) AS asked (image_id)
    WHERE EXISTS (SELECT FROM runs WHERE runs.image_id = asked.image_id)
"""


class KnownImages:
    """Asks again and again, on one connection.

    Args:
        url: The database; the login need only be a reader.

    Raises:
        HistoryUnavailableError: It cannot be reached.
    """

    def __init__(self, url: str | URL) -> None:
        self._standing = StandingConnection(url, "retinue backfill")

    def among(self, image_ids: Sequence[UUID]) -> set[UUID]:
        """Which of these images the history has any run of.

        Raises:
            HistoryUnavailableError: The database does not answer now; asking again may help.
        """
        return set(self._standing.ask(_KNOWN, {"ids": [*image_ids]}, scalar_row))

    def close(self) -> None:
        """Let the connection go."""
        self._standing.close()
