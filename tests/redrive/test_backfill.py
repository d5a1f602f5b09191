"""A backfill asks for every image, whenever it is killed, and for few of them twice."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.replay.backfill import KNOWN, Backfill, Count, Estimate
from retinue_cli.replay.checkpoint import Checkpoint
from retinue_cli.replay.listing import Page
from retinue_cli.replay.message import Request
from retinue_cli.replay.sender import Sender
from retinue_sdk import ImageReference

PAGE = 3


class Numbers:
    """A source of so many images."""

    def __init__(self, images: int) -> None:
        self._images = images

    def pages(self, after: str | None = None) -> Iterator[Page]:
        for start in range(0 if after is None else int(after), self._images, PAGE):
            keys = range(start, min(start + PAGE, self._images))
            requests = [
                Request(
                    ImageReference("photos", f"{key}.jpg", None, "e"),
                    datetime(2026, 1, 1, tzinfo=UTC),
                    10,
                )
                for key in keys
            ]
            yield Page(str(start + PAGE), requests, Counter(folders=1))


class DeadlySender:
    """Takes so many messages, and then the process ends."""

    def __init__(self, taken: list[str], lives: int) -> None:
        self._taken = taken
        self._lives = lives

    def send(self, bodies: Iterable[str]) -> Iterator[int]:
        for body in bodies:
            if self._lives == 0:
                raise KeyboardInterrupt
            self._lives -= 1
            self._taken.append(body)
            yield 1


def nothing(ids: list[UUID]) -> set[UUID]:
    del ids
    return set()


@given(st.integers(0, 20), st.lists(st.integers(0, 20), max_size=6))
def test_whenever_it_is_killed_every_image_is_asked_for(images: int, lives: list[int]) -> None:
    taken: list[str] = []
    with TemporaryDirectory() as folder:
        for life in [*lives, 1_000]:
            checkpoint = Checkpoint.of(Path(folder), "s3://photos/")
            sender = cast("Sender", DeadlySender(taken, life))
            try:
                list(Backfill(Numbers(images), nothing, checkpoint).send(sender))
                break
            except KeyboardInterrupt:
                continue
        assert not list(Path(folder).iterdir())
    assert len(set(taken)) == images
    assert len(taken) <= images + PAGE * len(lives)


def test_what_is_known_is_counted_and_left_out(tmp_path: Path) -> None:
    known = ImageReference("photos", "1.jpg", None, "e").image_id
    backfill = Backfill(Numbers(7), lambda ids: {known} & set(ids), Checkpoint.of(tmp_path, "it"))
    count = Count()
    assert sum(backfill.count(count)) == 7 + 3
    assert (count.images, count.size_bytes) == (6, 60)
    assert count.left_out == {"folders": 3, KNOWN: 1}
    taken: list[str] = []
    assert sum(backfill.send(cast("Sender", DeadlySender(taken, 100)))) == 6


def test_another_backfill_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    Checkpoint.of(tmp_path, "one").save("5", 5)
    assert Checkpoint.of(tmp_path, "one").position == "5"
    assert Checkpoint.of(tmp_path, "other").position is None
    (saved,) = tmp_path.iterdir()
    saved.write_text("{", "utf-8")
    assert Checkpoint.of(tmp_path, "one").position is None


def test_estimates() -> None:
    from decimal import Decimal

    paced = Estimate.of(3_600, per_second=2, usd_per_image=Decimal("0.001"))
    assert paced == Estimate(1_800.0, Decimal("3.600"))
    assert Estimate.of(10, per_second=None, usd_per_image=Decimal(0)).seconds is None
