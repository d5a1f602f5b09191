"""The history says that an image exists exactly if S3 does, whatever became of the events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from fakes.bucket import STEPS, Bucket, Form, Sequencers
from fakes.examples import DATABASE_EXAMPLES
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from retinue_history import ConnectionPool, History
from retinue_history.upkeep.maintenance import DeletedImage, Retention, maintain
from retinue_workers.intake.s3_event import parse
from retinue_workers.work import ImageEvent, RemovalEvent
from sqlalchemy import Engine, text

keys = st.sampled_from(["cat.jpg", "cat.jpg", "cat.jpg", "a+b c%20.jpg"])
families = st.sampled_from(["ObjectRemoved", "LifecycleExpiration"])


class Deliveries(RuleBasedStateMachine):
    """A bucket that sends events, which arrive in any order, more than once, or never."""

    engine: Engine
    pool: ConnectionPool

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.pool)
        self.bucket = Bucket(str(uuid4()))
        self.under_way: list[str] = []
        self.sent = 0
        self.lost = False
        self.heals_by_listing = False

    @initialize(
        sequencers=st.sampled_from(Sequencers),
        heals_by_listing=st.sampled_from([True, True, False]),
    )
    def begin(self, sequencers: Sequencers, *, heals_by_listing: bool) -> None:
        self.bucket.sequencers = sequencers
        self.heals_by_listing = heals_by_listing

    @rule(
        steps=st.lists(st.tuples(st.sampled_from(STEPS), keys, families), min_size=6, max_size=16),
        lost=st.sets(st.integers(0, 15), max_size=2),
    )
    def happen(self, steps: list[tuple[str, str, str]], lost: set[int]) -> None:
        """Things happen in the bucket, and the events of some of them are lost."""
        for place, (step, key, family) in enumerate(steps):
            for event in self.bucket.happen(step, key, family):
                self.sent += 1
                form = [*Form][self.sent % len(Form)]
                if place in lost:
                    self.lost = True
                else:
                    self.under_way.append(event.body(form, says_null=self.sent % 2 == 0))

    @rule()
    def list_bucket(self) -> None:
        self.under_way += [request.body() for request in self.bucket.listing()]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Deliver some messages in one transaction. Some of them arrive again later."""
        places = st.sets(st.integers(0, len(self.under_way) - 1), min_size=1)
        chosen = data.draw(st.permutations(sorted(data.draw(places))))
        self.record([self.under_way[place] for place in chosen])
        again = data.draw(st.sets(st.sampled_from(chosen)))
        left = set(range(len(self.under_way))) - set(chosen) | again
        self.under_way = [self.under_way[place] for place in sorted(left)]

    def teardown(self) -> None:
        self.record(self.under_way)
        known = {name for name, _ in self.known()}
        if not self.lost:
            for name, alive in self.known():
                assert alive == (name in self.bucket.existing()), name
            assert self.bucket.existing() <= known
        elif self.heals_by_listing:
            self.record([request.body() for request in self.bucket.listing()])
            known |= self.bucket.served()
        # Nothing is kept of what was removed.
        keep = Retention(deleted_images_days=0)
        maintain(self.engine, keep, tell=lambda _: None, find_served=self.ask)
        alive = {name for name, alive in self.known() if alive}
        assert known & self.bucket.served() <= alive

    def ask(self, images: Sequence[DeletedImage]) -> dict[UUID, datetime | None]:
        """Ask S3 which of these images it serves."""
        self.bucket.now += timedelta(seconds=1)
        return {
            image.image_id: self.bucket.now
            for image in images
            if image.bucket == self.bucket.name
            and (image.key, image.version) in self.bucket.existing()
        }

    def record(self, bodies: list[str]) -> None:
        parsed = [parse(body) for body in bodies]
        assert not any(one.problems for one in parsed)
        events = [event for one in parsed for event in one.events]
        self.history.record(
            [event.record() for event in events if isinstance(event, ImageEvent)],
            removed=[event.record() for event in events if isinstance(event, RemovalEvent)],
        )

    def known(self) -> set[tuple[tuple[str, str], bool]]:
        query = "SELECT key, version, deleted_at IS NULL FROM images WHERE bucket = :bucket"
        with self.engine.connect() as connection:
            rows = connection.execute(text(query), {"bucket": self.bucket.name})
            return {((key, version), alive) for key, version, alive in rows}


@pytest.mark.hypothesis  # which it gives to its own decorator alone
def test_the_history_agrees_with_s3(engine: Engine, pool: ConnectionPool) -> None:
    class WithDatabase(Deliveries):
        pass

    WithDatabase.engine = engine
    WithDatabase.pool = pool
    run_state_machine_as_test(
        WithDatabase, settings=settings(max_examples=DATABASE_EXAMPLES, stateful_step_count=6)
    )
