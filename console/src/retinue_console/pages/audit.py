"""The audit log of people's acts."""

from dataclasses import dataclass
from uuid import UUID

from retinue_history.review.audit import AuditEntry, audit_entries

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.cursor import Cursor, continued
from retinue_console.queries.filters import AfterCursor
from retinue_console.queries.walk import Looked, walk

PAGE = 100
"""Entries of a page."""


class AuditParameters(Parameters):
    """Filters of the entries."""

    person: str | None = None
    """Show only acts of this person."""

    act: str | None = None
    """Only acts of this name."""

    image: UUID | None = None
    """Show only acts about this image."""

    after: AfterCursor | None = None
    """The place where the list continues: ``next`` or ``previous`` of another page."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The data of the page.

    Attributes:
        entries: Entries of the log, the newest first.
        next: ``after`` of the next page; none at the end.
        previous: ``after`` of the previous page; none at the beginning.
    """

    entries: tuple[AuditEntry, ...]
    next: str | None
    previous: str | None


def audit(call: Call[AuditParameters]) -> Page[Audit]:
    """List people's acts in the console, the newest first."""
    asked = call.parameters
    try:
        after = continued(asked.after, "recorded")
    except ValueError as error:
        raise ParameterError(f"The parameter {error}.") from error
    with call.database.read() as reader:

        def look(after: Cursor | None, size: int, wanted: int) -> Looked[AuditEntry]:
            del size  # all that are looked at match
            number = None if after is None else after.number
            back = after is not None and after.backward
            found = audit_entries(
                reader,
                before=None if back else number,
                after=number if back else None,
                person=asked.person,
                act=asked.act,
                image_id=asked.image,
                limit=wanted,
            )
            return Looked([(Cursor("recorded", number=one.entry_id), one) for one in found], None)

        found = walk(reader, look, after, wanted=PAGE)
    data = Audit(found.rows, found.next, found.previous)
    return Page("audit.html", "Audit log", data, rows=found.rows)
