"""Differences that emulators invent: what a second plan would change although nothing has changed.

Each is listed with its cause. One that is not listed fails the test, and so does one that is listed
and no longer seen.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stack.deployment import Change
from stack.services import Stack

BOTH = frozenset({Stack.LOCALSTACK, Stack.LIGHT})


@dataclass(frozen=True, slots=True)
class Difference:
    """One that an emulator invents.

    Attributes:
        resource: The resource's address, without the modules it is in and its index.
        attributes: Which of its attributes differ.
        stacks: Where it is seen.
        cause: What the emulator does otherwise than AWS.
    """

    resource: str
    attributes: frozenset[str]
    stacks: frozenset[Stack]
    cause: str


INVENTED: tuple[Difference, ...] = ()

_PLACE = re.compile(r"module\.[a-z_]+(\[[^]]*\])?\.|\[[^]]*\]$")


def _key(change: Change) -> tuple[str, str]:
    return _PLACE.sub("", change.address), change.attribute


def unexplained(changes: Iterable[Change], stack: Stack) -> list[Change]:
    """Changes that no difference of the list accounts for."""
    known = {
        (difference.resource, attribute)
        for difference in INVENTED
        if stack in difference.stacks
        for attribute in difference.attributes
    }
    return sorted(
        change for change in changes if change.actions != "update" or _key(change) not in known
    )


def not_seen(changes: Iterable[Change], stack: Stack) -> list[Difference]:
    """Differences of the list that no change shows: they are to be removed from it."""
    seen = {_key(change) for change in changes}
    return [
        difference
        for difference in INVENTED
        if stack in difference.stacks
        and not {(difference.resource, name) for name in difference.attributes} <= seen
    ]
