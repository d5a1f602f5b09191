"""The audit log: who did what."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import Field
from retinue_history.review.audit import AuditEntry, audit_entries

from retinue_console.page import Call, Page, Parameters

PAGE = 100
"""Entries of a page."""


class AuditParameters(Parameters):
    """Which entries."""

    person: str | None = None
    """Only what this person did."""

    act: str | None = None
    """Only acts of this name."""

    image: UUID | None = None
    """Only what concerns this image."""

    after: int | None = Field(default=None, ge=1)
    """Only entries older than this one: the last of the page before."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The data of the page.

    Attributes:
        entries: What was done, the newest first.
        next: The cursor of the next page; ``None`` on the last.
    """

    entries: list[AuditEntry]
    next: int | None


def audit(call: Call[AuditParameters]) -> Page[Audit]:
    """List what was done in the console, the newest first."""
    asked = call.parameters
    with call.database.read() as reader:
        found = audit_entries(
            reader,
            before=asked.after,
            person=asked.person,
            act=asked.act,
            image_id=asked.image,
            limit=PAGE + 1,
        )
    entries = found[:PAGE]
    following = entries[-1].entry_id if len(found) > PAGE else None
    return Page("audit.html", "Audit log", Audit(entries, following), rows=entries)
