"""The audit log of people's acts. Entries are only added."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that a person did.

    Attributes:
        entry_id: Its number; later entries have greater ones.
        acted_at: The time.
        person: The person's login.
        act: The kind of act, such as ``answer_saved``.
        queue: The queue; ``None`` if it concerns none.
        image_id: The image; ``None`` if it concerns none, or the image was erased.
        detail: Further ids and numbers.
    """

    entry_id: int
    acted_at: datetime
    person: str
    act: str
    queue: str | None
    image_id: UUID | None
    detail: Mapping[str, Any]


def audit_entries(
    reader: Connection,
    *,
    before: int | None = None,
    after: int | None = None,
    person: str | None = None,
    act: str | None = None,
    image_id: UUID | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """Return entries, the newest first unless ``after`` is given.

    Args:
        reader: A reader's connection.
        before: Only entries with a smaller number.
        after: Only entries with a greater number, those next to it first.
        person: Return only acts of this person.
        act: Only acts of this name.
        image_id: Return only acts about this image.
        limit: Maximum number of entries.
    """
    given = {
        "before": before,
        "after": after,
        "person": person,
        "act": act,
        "image": image_id,
        "limit": limit,
    }
    query = sql.SQL(_ENTRIES).format(sql.SQL("DESC" if after is None else "ASC"))
    with map_errors():
        return [AuditEntry(*row) for row in reader.execute(query, given)]


_ENTRIES = """
    SELECT entry_id, acted_at, person, act, queue, image_id, detail
    FROM audit_log
    WHERE (%(before)s::bigint IS NULL OR entry_id < %(before)s)
        AND (%(after)s::bigint IS NULL OR entry_id > %(after)s)
        AND (%(person)s::text IS NULL OR person = %(person)s)
        AND (%(act)s::text IS NULL OR act = %(act)s)
        AND (%(image)s::uuid IS NULL OR image_id = %(image)s)
    ORDER BY entry_id {}
    LIMIT %(limit)s
"""
