"""The history says that an image exists exactly if S3 does, whatever became of the events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from fakes.bucket import Bucket, Event, Form, Sequencers, Versioning
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from retinue_history import DeletedImage, History, Retention, maintain
from retinue_workers.intake.s3_event import parse
from sqlalchemy import Engine, text

KEYS = ["cat.jpg", "a+b c%20.jpg"]

keys = st.sampled_from(KEYS)
families = st.sampled_from(["ObjectRemoved", "LifecycleExpiration"])


class Deliveries(RuleBasedStateMachine):
    """A bucket that sends events, which arrive in any order, more than once, or never."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.engine)
        self.bucket = Bucket(str(uuid4()))
        self.under_way: list[str] = []
        self.lost = False
        self.heals_by_listing = False

    @initialize(sequencers=st.sampled_from(Sequencers), heals_by_listing=st.booleans())
    def begin(self, sequencers: Sequencers, *, heals_by_listing: bool) -> None:
        self.bucket.sequencers = sequencers
        self.heals_by_listing = heals_by_listing

    @rule()
    def switch_versioning(self) -> None:
        enabled = self.bucket.versioning is Versioning.ENABLED
        self.bucket.versioning = Versioning.SUSPENDED if enabled else Versioning.ENABLED

    @rule(key=keys, etag=st.sampled_from("AB"), data=st.data())
    def put(self, key: str, etag: str, data: st.DataObject) -> None:
        self.send(self.bucket.put(key, etag), data)

    @rule(key=keys, data=st.data())
    def copy_onto_itself(self, key: str, data: st.DataObject) -> None:
        self.send(self.bucket.copy_onto_itself(key), data)

    @rule(key=keys, family=families, data=st.data())
    def delete(self, key: str, family: str, data: st.DataObject) -> None:
        self.send(self.bucket.delete(key, family), data)

    @precondition(lambda self: self.bucket.versions)
    @rule(family=families, data=st.data())
    def delete_version(self, family: str, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.bucket.versions)))
        place = data.draw(st.integers(0, len(self.bucket.versions[key]) - 1))
        self.send(self.bucket.delete_version(key, place, family), data)

    @precondition(lambda self: any(not self.bucket.current(key) for key in self.bucket.versions))
    @rule(data=st.data())
    def remove_delete_marker(self, data: st.DataObject) -> None:
        hidden = sorted(key for key in self.bucket.versions if not self.bucket.current(key))
        self.send(self.bucket.delete_version(data.draw(st.sampled_from(hidden)), -1), data)

    @rule(data=st.data())
    def create_folder(self, data: st.DataObject) -> None:
        event = Event(
            self.bucket.name, "ObjectCreated:Put", "folder/", None, "E", self.bucket.now, 1,
            Versioning.NEVER, self.bucket.sequencers,
        )  # fmt: skip
        self.under_way.append(event.body().replace('"size": 1', '"size": 0'))
        self.send(None, data)

    @rule()
    def list_bucket(self) -> None:
        self.under_way += [request.body() for request in self.bucket.listing()]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Some messages arrive, in one transaction; some of them will arrive again."""
        places = st.sets(st.integers(0, len(self.under_way) - 1), min_size=1)
        chosen = data.draw(st.permutations(sorted(data.draw(places))))
        self.record([self.under_way[place] for place in chosen])
        again = data.draw(st.sets(st.sampled_from(chosen)))
        left = set(range(len(self.under_way))) - set(chosen) | again
        self.under_way = [self.under_way[place] for place in sorted(left)]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.lost = True

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

    def send(self, event: Event | None, data: st.DataObject) -> None:
        if event is not None:
            form = data.draw(st.sampled_from(Form))
            self.under_way.append(event.body(form, says_null=data.draw(st.booleans())))

    def record(self, bodies: list[str]) -> None:
        parsed = [parse(body) for body in bodies]
        assert not any(one.problems for one in parsed)
        self.history.record(
            [image.record() for one in parsed for image in one.images],
            removed=[removal.record() for one in parsed for removal in one.removals],
        )

    def known(self) -> set[tuple[tuple[str, str], bool]]:
        query = "SELECT key, version, deleted_at IS NULL FROM images WHERE bucket = :bucket"
        with self.engine.connect() as connection:
            rows = connection.execute(text(query), {"bucket": self.bucket.name})
            return {((key, version), alive) for key, version, alive in rows}


def test_the_history_agrees_with_s3(engine: Engine) -> None:
    class WithDatabase(Deliveries):
        pass

    WithDatabase.engine = engine
    run_state_machine_as_test(
        WithDatabase, settings=settings(max_examples=100, stateful_step_count=20, deadline=None)
    )
