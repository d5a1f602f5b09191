"""The plans of the questions that must be fast: which index answers, and which months are read.

Sequential scans are switched off, since on a history as small as a test's they would win; what is
left shows whether an index *can* answer, and in which order the tables are met.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retinue_history import ConnectionPool, DetectionRecord, History
from retinue_history.db.engine import create_history_engine
from retinue_history.upkeep.maintenance import Retention, maintain
from sqlalchemy import Engine, text

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def filled(shared_history_url: str, image: Make, run: Make) -> Iterator[Engine]:
    """Yield three months of a few images, and enough labels to be worth an index."""
    engine = create_history_engine(shared_history_url, application_name="test")
    now = datetime.now(UTC)
    images, runs = [image("many.jpg")], []
    for number in range(30):
        when = now - timedelta(days=3 * number)
        images.append(image(f"{number}.jpg", uploaded_at=when))
        found = (DetectionRecord("label", "Cat", 0.9), DetectionRecord("text", f"no {number}", 0.9))
        runs.append(run(images[-1], started_at=when, detections=found))
    many = tuple(DetectionRecord("label", f"label {number}", 0.9) for number in range(3000))
    with closing(ConnectionPool(shared_history_url)) as pool:
        History(pool).record(images, [*runs, run(images[0], detections=many)])
    maintain(engine, Retention(), tell=lambda line: None)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE images, runs, detections, labels, label_counts"))
    yield engine
    engine.dispose()


def plan(engine: Engine, sql: str, **given: Any) -> list[dict[str, Any]]:
    """Return the nodes of a plan, executed, so that partitions which were not needed say so."""
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        (root,) = connection.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"), given)
    nodes, waiting = [], [root["Plan"]]
    while waiting:
        nodes.append(waiting.pop())
        waiting += nodes[-1].get("Plans", [])
    return nodes


def used(nodes: list[dict[str, Any]], index: str) -> bool:
    """Return whether an index whose name contains this was read."""
    return any(index in node.get("Index Name", "") and node["Actual Loops"] for node in nodes)


def months_read(nodes: list[dict[str, Any]]) -> set[str]:
    return {
        node["Relation Name"]
        for node in nodes
        if node.get("Relation Name", "").startswith("detections_20") and node["Actual Loops"]
    }


def test_a_label_in_the_last_days_is_found_by_its_index(filled: Engine) -> None:
    nodes = plan(
        filled,
        "SELECT image_id, confidence FROM detections WHERE label = 'Cat' AND confidence > 0.5"
        " AND detected_at > now() - interval '7 days' ORDER BY detected_at DESC LIMIT 10",
    )
    assert used(nodes, "label_detected_at")
    assert all(node["Node Type"] != "Seq Scan" or not node["Plan Rows"] > 1 for node in nodes)


def test_old_months_are_not_read_for_the_last_days(filled: Engine) -> None:
    nodes = plan(
        filled,
        "SELECT count(*) FROM detections WHERE label = 'Cat'"
        " AND detected_at > now() - interval '1 day'",
    )
    month = datetime.now(UTC) - timedelta(days=60)
    assert f"detections_{month:%Y_%m}" not in months_read(nodes)


def test_the_latest_detections_of_an_image_read_its_month_alone(
    filled: Engine, image: Make
) -> None:
    wanted = image("20.jpg").image_id
    nodes = plan(filled, "SELECT * FROM latest_detections WHERE image_id = :id", id=wanted)
    assert used(nodes, "run_id_detected_at")
    month = datetime.now(UTC) - timedelta(days=60)
    assert months_read(nodes) == {f"detections_{month:%Y_%m}"}


def test_the_history_of_an_image_goes_through_its_runs(filled: Engine, image: Make) -> None:
    """Detections have no index by image."""
    wanted = image("20.jpg").image_id
    nodes = plan(filled, "SELECT * FROM detection_history WHERE image_id = :id", id=wanted)
    assert used(nodes, "run_id_detected_at")
    assert used(nodes, "uq_runs_")


def test_a_page_of_images_goes_through_their_runs(filled: Engine, image: Make) -> None:
    wanted = [image(f"{number}.jpg").image_id for number in range(5)]
    sql = "SELECT * FROM latest_detections WHERE image_id = ANY (:ids)"
    nodes = plan(filled, sql, ids=wanted)
    assert used(nodes, "run_id_detected_at")
    assert used(nodes, "uq_runs_")
    # Each image is met once, and not once for each detection.
    assert any(node.get("Relation Name") == "images" and "ANY" in str(node) for node in nodes)


def test_labels_of_a_kind_are_found_by_the_index(filled: Engine) -> None:
    sql = "SELECT image_id FROM detections WHERE label_is(label, 'Cat')"
    assert used(plan(filled, sql), "label_detected_at")


def test_daily_counts_are_read_in_the_order_of_the_counts(filled: Engine) -> None:
    nodes = plan(
        filled,
        "SELECT label, day, sum(detections) FROM label_counts_daily"
        " WHERE day > now()::date - 30 GROUP BY label, day",
    )
    assert used(nodes, "pk_label_counts")
    assert used(nodes, "ix_label_counts_unmerged")
    assert {node.get("Relation Name") for node in nodes} <= {None, "label_counts"}
    assert not any(node["Node Type"] == "Sort" for node in nodes)
    assert [node["Strategy"] for node in nodes if node["Node Type"] == "Aggregate"] == [
        "Sorted",
        "Sorted",
    ]


def test_merged_days_are_not_added_up(filled: Engine) -> None:
    nodes = plan(filled, "SELECT * FROM label_counts_daily")
    [added] = [node for node in nodes if node["Node Type"] == "Aggregate"]
    with filled.connect() as connection:
        [unmerged] = connection.execute(
            text(
                "SELECT count(DISTINCT (day, label, series)) FROM label_counts"
                " WHERE day >= (SELECT min(day) FROM label_counts WHERE shard <> 0)"
            )
        ).scalars()
        [days] = connection.execute(text("SELECT count(DISTINCT day) FROM label_counts")).scalars()
    assert days > 3  # those that maintenance leaves as they are
    assert added["Actual Rows"] == unmerged


def test_daily_counts_of_a_label_are_found_by_its_index(filled: Engine) -> None:
    nodes = plan(filled, "SELECT day, detections FROM label_counts_daily WHERE label = 'Cat'")
    assert used(nodes, "ix_label_counts_label_day")


def test_labels_are_found_by_prefix_and_by_part(filled: Engine) -> None:
    prefix = plan(filled, "SELECT kind, label FROM labels WHERE lower(label) LIKE 'ca%'")
    assert used(prefix, "ix_labels_prefix")
    part = plan(filled, "SELECT label FROM labels WHERE label ILIKE '%cat%'")
    assert used(part, "ix_labels_trigrams")


def test_text_is_found_by_its_trigrams(filled: Engine) -> None:
    sql = "SELECT image_id FROM detections WHERE kind = 'text' AND label ILIKE '%no 12%'"
    with filled.connect() as connection:
        # A few rows are found through any index; bitmaps leave the trigrams alone to choose.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        lines = "\n".join(connection.scalars(text(f"EXPLAIN {sql}")))
    assert "label_idx" in lines


def test_keys_are_found_by_what_they_begin_with(filled: Engine) -> None:
    """Also by equality: there is one index of keys."""
    for condition in ("starts_with(key, '2')", "key LIKE '2%'", "key = '20.jpg'"):
        nodes = plan(filled, f"SELECT * FROM images WHERE bucket = 'photos' AND {condition}")
        assert any("key" in str(node.get("Index Cond")) for node in nodes)
