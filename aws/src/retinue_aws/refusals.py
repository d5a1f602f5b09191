"""Distinguish an object that S3 refuses alone from a caller that it refuses all objects."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ObjectT = TypeVar("ObjectT")

REMEMBERED = 4
"""How many served objects are kept for comparison, because some may be gone later."""

NEIGHBOURS = 4
"""How many objects of the same folder are tried without an object for comparison."""

ROUNDS = 5
"""How often S3 must alternately serve another object and refuse this one. While a changed policy
spreads, S3 refuses some calls and serves others, so one comparison proves little.
"""

VISITS = 3
"""Number of refusals after which an object is the cause, if S3 served others in between that can
no longer be requested.
"""

SUSPECTS = 1_000
"""How many refused objects are remembered until their cause is known."""

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read."""

TRANSIENT_KMS_ERROR = re.compile(r"KMS\..*(Throttling|Internal|Timeout|KeyUnavailable|Limit)")
"""S3's codes for errors of KMS that don't depend on the key."""


class Reply(Enum):
    """S3's reaction to a request for an object."""

    SERVED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """The object is gone, or S3 doesn't answer, so its permissions are unknown."""


class Verdict(Enum):
    """The reason why an object is refused."""

    ALONE = auto()
    """S3 serves other objects and refuses this one again."""
    PASSED = auto()
    """S3 serves it now."""
    UNDECIDED = auto()
    """S3 serves no other object now, so it may refuse all."""


@dataclass(slots=True)
class _Suspect:
    """A refused object: its last refusal, and how often others were served in between."""

    refused_at: float
    visits: int = 0


class RefusedObjects(Generic[ObjectT]):
    """Compares a refused object with others that S3 serves to the same caller. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served: OrderedDict[ObjectT, float] = OrderedDict()  # newest last
        self._suspects: OrderedDict[ObjectT, _Suspect] = OrderedDict()

    def record_served(self, one: ObjectT, asked_at: float) -> None:
        """Remember an object that S3 served.

        Args:
            one: The object.
            asked_at: When S3 was asked for it, by ``time.monotonic()``.
        """
        with self._lock:
            self._served[one] = asked_at
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
            else:  # it may have been remembered
                self._served.move_to_end(one)
            if self._suspects:
                self._suspects.pop(one, None)

    def judge(
        self,
        refused: ObjectT,
        ask: Callable[[ObjectT], Reply],
        find: Callable[[], Iterable[ObjectT]] = tuple,
    ) -> Verdict:
        """Decide why S3 refuses an object.

        Args:
            refused: The object, which S3 has just refused.
            ask: Asks S3 for an object by the call that was refused.
            find: Returns objects to compare with if none is remembered, as after a start.
        """
        verdict = self._compare(refused, ask, find)
        with self._lock:
            if verdict is not Verdict.UNDECIDED:
                self._suspects.pop(refused, None)
                return verdict
            return self._note_suspect(refused)

    def _compare(
        self,
        refused: ObjectT,
        ask: Callable[[ObjectT], Reply],
        find: Callable[[], Iterable[ObjectT]],
    ) -> Verdict:
        """Request another object and the refused one alternately."""
        other = self._find_served(refused, ask, find)
        if other is None:
            return Verdict.UNDECIDED
        for number in range(ROUNDS):
            if number and ask(other) is not Reply.SERVED:
                return Verdict.UNDECIDED
            reply = ask(refused)
            if reply is not Reply.REFUSED:
                return Verdict.PASSED if reply is Reply.SERVED else Verdict.UNDECIDED
        return Verdict.ALONE

    def _find_served(
        self,
        refused: ObjectT,
        ask: Callable[[ObjectT], Reply],
        find: Callable[[], Iterable[ObjectT]],
    ) -> ObjectT | None:
        """Return another object that S3 serves now, if any."""
        with self._lock:
            known = [one for one in reversed(self._served) if one != refused]
        replies = []
        for one in known:
            replies.append(ask(one))
            if replies[-1] is Reply.SERVED:
                return one
        if Reply.REFUSED in replies:
            return None
        return next((one for one in find() if one != refused and ask(one) is Reply.SERVED), None)

    def _note_suspect(self, refused: ObjectT) -> Verdict:
        """Count a refusal that a comparison didn't explain, with the lock held."""
        now = time.monotonic()
        suspect = self._suspects.setdefault(refused, _Suspect(now))
        suspect.visits += any(
            asked_at > suspect.refused_at
            for one, asked_at in self._served.items()
            if one != refused
        )
        if suspect.visits >= VISITS:
            del self._suspects[refused]
            return Verdict.ALONE
        suspect.refused_at = now
        if len(self._suspects) > SUSPECTS:
            self._suspects.popitem(last=False)
        return Verdict.UNDECIDED


def neighbours(client: "S3Client", bucket: str, key: str) -> list[tuple[str, str]]:
    """Return a few objects of the same folder, by key and ETag; empty if they can't be listed."""
    folder, slash, _ = key.rpartition("/")
    try:
        answer: Any = client.list_objects_v2(
            Bucket=bucket, Prefix=folder + slash, Delimiter="/", MaxKeys=100
        )
        others = [
            (one["Key"], one["ETag"].strip('"'))
            for one in answer.get("Contents", ())
            if one["Key"] != key and one["Size"] and one.get("StorageClass") not in ARCHIVED
        ]
    except Exception:  # noqa: BLE001 - without neighbours there is no comparison
        return []
    return others[:: max(1, len(others) // NEIGHBOURS)][:NEIGHBOURS]
