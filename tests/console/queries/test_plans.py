"""The plans of the gallery, the search and reviews: which index answers, whatever the size.

Sequential scans, sorts and the like are switched off: on a small history they would win.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fakes.small_history import NOON, found, image, run
from psycopg import sql
from retinue_console.queries import gallery, reading, review, runs, search
from retinue_console.queries.filters import Filters
from retinue_history import ConnectionPool, History
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.review.answers import upcoming
from retinue_history.review.bulk import BulkAct, preview_bulk
from retinue_history.review.queues import QueueDefinition, create_queue


@pytest.fixture(scope="module")
def reader(shared_history_url: str) -> Iterator[Connection]:
    images = [image(f"{n}.jpg", NOON + timedelta(minutes=n)) for n in range(300)]
    with closing(ConnectionPool(shared_history_url, application_name="test")) as pool:
        History(pool).record(
            images,
            [
                run(one, [found("Cat" if n % 3 else "Dog"), found(f"thing {n}")])
                for n, one in enumerate(images)
            ],
        )
        # A version that was used on two days, long before.
        History(pool).record(
            [],
            [
                run(images[days], detector="old", version="0", started_at=NOON - timedelta(days))
                for days in (9, 30)
            ],
        )
    with psycopg.connect(shared_history_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE images, runs, detections, labels, label_counts")
        for method in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
            connection.execute(f"SET enable_{method} = off")
        yield connection


class Plans:
    """Notes the plans of all queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: list[dict[str, Any]] = []
        fetch = reading.fetch

        def explained(connection: Connection, query: sql.Composable, row: Any) -> Any:
            explain = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + query
            [[[root]]] = connection.execute(explain).fetchall()
            self.note(root)
            return fetch(connection, query, row)

        for module in (reading, gallery, runs, search):
            monkeypatch.setattr(module, "fetch", explained)

    def of(self, connection: Connection) -> Any:
        """Return a connection that notes the plans of what it executes."""
        plans = self

        class Explaining:
            def execute(self, query: str, given: Any = None) -> Any:
                [[[root]]] = connection.execute(
                    f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", given
                ).fetchall()
                plans.note(root)
                return connection.execute(query, given)

        return Explaining()

    def note(self, root: dict[str, Any]) -> None:
        waiting = [root["Plan"]]
        while waiting:
            self.nodes.append(waiting.pop())
            waiting += self.nodes[-1].get("Plans", [])

    def most_rows(self, relation: str) -> float:
        """The most rows that a scan of this table returned, over all its loops."""
        return max(
            (
                node["Actual Rows"] * node["Actual Loops"]
                for node in self.nodes
                if node.get("Relation Name", "").startswith(relation)
            ),
            default=0,
        )

    def scans(self) -> set[str]:
        """The ways in which large tables were read."""
        return {
            node["Node Type"]
            for node in self.nodes
            if node.get("Relation Name", "").startswith(("images", "runs", "detections", "labels"))
            and node["Actual Rows"]
        }

    def used(self, index: str) -> bool:
        return any(index in node.get("Index Name", "") for node in self.nodes)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(monkeypatch)


def later(connection: Connection, filters: Filters, pages: int, show: Any) -> Filters:
    """The filters of a later page."""
    for _ in range(pages):
        following = show(connection, filters, wanted=10).next
        filters = Filters.model_validate(filters.parameters() | {"after": following})
    return filters


@pytest.mark.parametrize("pages", [0, 9], ids=["first", "tenth"])
def test_a_late_page_of_images_reads_as_much_as_the_first(
    reader: Connection, pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = later(reader, Filters(), pages, gallery.images)
    plans = Plans(monkeypatch)
    assert len(gallery.images(reader, filters, wanted=10).rows) == 10
    assert plans.used("ix_images_uploaded_at")
    assert plans.most_rows("images") <= 45


@pytest.mark.parametrize("pages", [0, 9], ids=["first", "tenth"])
@pytest.mark.parametrize("show", [gallery.images, gallery.patches])
def test_a_late_page_of_a_label_reads_as_much_as_the_first(
    reader: Connection, pages: int, show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = later(reader, Filters(label="Cat"), pages, show)
    plans = Plans(monkeypatch)
    assert len(show(reader, filters, wanted=10).rows) == 10
    assert plans.used("label_detected_at")
    assert plans.most_rows("detections") <= 60
    assert "Seq Scan" not in plans.scans()


def test_runs_and_detections_are_read_from_their_end(reader: Connection, plans: Plans) -> None:
    runs.list_runs(reader, Filters(), wanted=10)
    gallery.patches(reader, Filters(), wanted=10)
    assert plans.used("ix_runs_started_at")
    assert plans.most_rows("runs") <= 30
    assert plans.most_rows("detections") <= 30


@pytest.mark.parametrize(
    ("filters", "outcome", "expected"),
    [
        (Filters(until=NOON + timedelta(minutes=20)), None, 10),
        (Filters(version="0"), None, 2),
        (Filters(version="2"), None, 0),
        (Filters(), "failed", 0),
        (Filters(detector="objects"), "skipped", 0),
        (Filters(prefix="s3://photos/299."), None, 1),
    ],
    ids=lambda value: str(value),
)
def test_only_runs_of_days_that_have_such_runs_are_read(
    reader: Connection, plans: Plans, filters: Filters, outcome: Any, expected: int
) -> None:
    found = runs.list_runs(reader, filters, outcome, wanted=10)
    assert len(found.rows) == expected
    assert plans.most_rows("runs") <= 15 or filters.prefix
    assert "Seq Scan" not in plans.scans()


def test_the_search_reads_indexes(reader: Connection, plans: Plans) -> None:
    search.search(reader, "29")
    assert plans.used("ix_images_bucket_key")
    assert plans.used("ix_labels_prefix")
    assert "Seq Scan" not in plans.scans()


def test_a_review_reads_the_images_that_it_shows(reader: Connection, plans: Plans) -> None:
    definition = QueueDefinition("plans", Selection(), "random", 200, audit_share=0.0)
    create_queue(reader, reader, definition, "ann")
    reader.execute("ANALYZE review_images, review_queues, review_leases, answers, answer_items")
    asking = plans.of(reader)
    ahead = upcoming(asking, "plans", "ann", 4)
    assert len(ahead) == 4
    review.reviewed_image(asking, ahead[0])
    act = BulkAct("plans", (), "accept", "label", "Cat")
    images = review.bulk_candidates(asking, act, 10).images
    assert len(images) == 10
    act = BulkAct("plans", tuple(images), "accept", "label", "Cat")
    assert len(preview_bulk(asking, act, "ann")) == 10
    assert "Seq Scan" not in plans.scans()
    assert plans.most_rows("review_images") <= 40
    assert plans.most_rows("runs") <= 40
    assert plans.most_rows("detections") <= 80
