"""People and their rights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Right(StrEnum):
    """A right of a person. By default people have none."""

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
        """Return whether the person has a right; ``None`` is the right that everyone has."""
        return right is None or right in self.rights


def with_implied(rights: Iterable[Right]) -> frozenset[Right]:
    """Return rights with those that they imply: an admin reviews, and a reviewer views."""
    given = set(rights)
    return frozenset(given.union(*(_IMPLIED.get(right, set()) for right in given)))


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights by the settings.

    Attributes:
        logins: Rights by login.
        groups: Rights by group. A login can't pass for a group: they are kept apart.
    """

    logins: Mapping[str, frozenset[Right]] = field(default_factory=dict)
    groups: Mapping[str, frozenset[Right]] = field(default_factory=dict)

    def identity(self, login: str, name: str | None, groups: Iterable[str]) -> Identity:
        """Return a person with the rights of the login and of all groups."""
        rights = set(self.logins.get(login, ()))
        for group in groups:
            rights |= self.groups.get(group, frozenset())
        return Identity(login, name or login, with_implied(rights))


MAX_NAME = 255
"""Maximum number of characters of a login, a name or a group."""


def is_name(text: object) -> bool:
    """Return whether a text can be a login, a name or a group.

    Control characters and marks that turn the direction of writing can't be in one: names are shown
    and logged.
    """
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_NAME
        and text == text.strip()
        and text.isprintable()
    )
