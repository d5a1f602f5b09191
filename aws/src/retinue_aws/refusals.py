"""Tell an object that S3 refuses alone from a caller that is refused all of them."""

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
"""How many objects that were served are kept for comparison: some of them may be gone by then."""

NEIGHBOURS = 4
"""How many objects of the same folder are tried if there is nothing to compare with."""

ROUNDS = 5
"""How often S3 must serve another object and then refuse this one, in turns. While a changed policy
spreads, S3 refuses some calls and serves others, so one comparison proves little."""

VISITS = 3
"""After how many refusals an object is to blame if S3 served others between each two of them, and
these cannot be asked for any more."""

SUSPECTS = 1_000
"""How many refused objects are remembered until it is known why."""


_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Reply(Enum):
    """What S3 does when it is asked for an object."""

    SERVED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """The object is gone, or S3 doesn't answer: that says nothing about permissions."""


class Verdict(Enum):
    """Why an object is refused."""

    ALONE = auto()
    """S3 serves others and refuses this one again."""
    PASSED = auto()
    """S3 doesn't refuse it any more."""
    UNDECIDED = auto()
    """No other object is served just now: perhaps all are refused."""


@dataclass(slots=True)
class _Suspect:
    """A refused object: when it was refused last, and how often others were served in between."""

    refused_at: float
    visits: int = 0


class RefusedObjects(Generic[ObjectT]):
    """Compares a refused object with others that S3 serves to the same caller. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served: OrderedDict[ObjectT, float] = OrderedDict()  # when S3 was asked; newest last
        self._suspects: OrderedDict[ObjectT, _Suspect] = OrderedDict()

    def record_served(self, one: ObjectT, asked_at: float) -> None:
        """Remember an object that S3 served.

        Args:
            one: The object.
            asked_at: When S3 was asked for it, by ``time.monotonic()``.
        """
        with self._lock:
            self._served.pop(one, None)
            self._served[one] = asked_at
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
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
        """Ask for another object and for the refused one, in turns."""
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
        """Return another object that S3 serves now, if there is one."""
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
        """Count a refusal, with the lock held, that comparing could not explain."""
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
    """Return a few objects of the same folder, by key and ETag; none if they can't be listed."""
    folder, slash, _ = key.rpartition("/")
    try:
        answer: Any = client.list_objects_v2(
            Bucket=bucket, Prefix=folder + slash, Delimiter="/", MaxKeys=100
        )
        others = [
            (one["Key"], one["ETag"].strip('"'))
            for one in answer.get("Contents", ())
            if one["Key"] != key and one["Size"] and one.get("StorageClass") not in _ARCHIVED
        ]
    except Exception:  # noqa: BLE001 - whatever it is, there is nothing to compare with
        return []
    return others[:: max(1, len(others) // NEIGHBOURS)][:NEIGHBOURS]
