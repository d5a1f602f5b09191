"""People and their rights."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """A right of a person. Nobody has one by default."""

    VIEWER = "viewer"
    """See images, detections, runs and counts."""

    REVIEWER = "reviewer"
    """Record answers."""

    ADMIN = "admin"
    """Manage queues and settle truth; see people and the audit."""

    SQL = "sql"
    """Run SQL, which reveals everything in the history, people's names included."""


_IMPLIED = {Right.ADMIN: {Right.REVIEWER, Right.VIEWER}, Right.REVIEWER: {Right.VIEWER}}


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who is signed in.

    Attributes:
        login: The stable name that the audit records.
        name: The name to show.
        rights: The rights, with those that they imply.
    """

    login: str
    name: str
    rights: frozenset[Right]

    def may(self, right: Right | None) -> bool:
        """Return whether the person has a right; ``None`` stands for what everyone may do."""
        return right is None or right in self.rights


def with_implied(rights: Iterable[Right]) -> frozenset[Right]:
    """Return rights with those that they imply: an admin reviews, and a reviewer views."""
    given = set(rights)
    return frozenset(given.union(*(_IMPLIED.get(right, set()) for right in given)))
