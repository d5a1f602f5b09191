"""Test the activity of the last seconds."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from retinue_history import History, HistoryUnavailableError
from retinue_history.analysis.activity import Activity, ActivityReader

Make = Callable[..., Any]


def test_activity_is_counted_by_detector(
    history: History, history_url: str, image: Make, run: Make
) -> None:
    cat, dog = image("cat.jpg"), image("dog.jpg")
    history.record(
        [cat, dog],
        [
            run(cat, duration_ms=10.0, billed_units=Decimal(1), price_usd=Decimal("0.5")),
            run(dog, duration_ms=30.0, error_code="throttled"),
            run(cat, detector="faces"),
        ],
    )
    reader = ActivityReader(history_url)
    faces, labels = reader.last(60)
    assert labels == Activity("labels", 5.0, 2, 1, 0, 20.0, 29.0, Decimal("0.5"), "throttled")
    assert (faces.detector, faces.failed, faces.commonest_error) == ("faces", 0, None)
    with psycopg.connect(history_url) as connection:
        connection.execute("UPDATE runs SET recorded_at = now() - interval '30 seconds'")
    assert reader.last(60)[0].seconds == pytest.approx(30, abs=5)
    assert reader.last(60)[0].seconds < 60
    with psycopg.connect(history_url) as connection:
        connection.execute("UPDATE runs SET recorded_at = now() - interval '2 minutes'")
    assert reader.last(60) == []
    reader.close()
    assert reader.last(600) != []  # it connects again
    reader.close()


def test_a_database_that_is_away_is_told() -> None:
    with pytest.raises(HistoryUnavailableError):
        ActivityReader("postgresql://nobody@127.0.0.1:9/nothing")
