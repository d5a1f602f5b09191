"""The counts of runs are those of a plain GROUP BY, whatever happens to the runs."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from fakes.examples import DATABASE_EXAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import DetectionRecord, History
from retinue_history.upkeep import retention
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

Make = Callable[..., Any]

COSTS = (
    """
    SELECT
        detector, day, runs, failed_runs, billed_units, price_usd, skipped_runs, saved_usd
    FROM run_costs
    """,
    """
    SELECT
        detector, (started_at AT TIME ZONE 'UTC')::date,
        count(*) FILTER (WHERE outcome <> 'skipped'), count(*) FILTER (WHERE outcome = 'failed'),
        sum(billed_units), sum(price_usd), count(*) FILTER (WHERE outcome = 'skipped'),
        coalesce(sum(saved_usd), 0)
    FROM runs
    WHERE model_version IS DISTINCT FROM 'emulator'
    GROUP BY 1, 2
    """,
)
VERSIONS = (
    """
    SELECT
        detector, detector_version, fingerprint, model_version, runs, failed_runs, detections,
        first_day, last_day
    FROM detector_versions
    """,
    """
    SELECT
        detector, detector_version, fingerprint, model_version, count(*),
        count(*) FILTER (WHERE outcome = 'failed'), sum(detection_count),
        min((started_at AT TIME ZONE 'UTC')::date), max((started_at AT TIME ZONE 'UTC')::date)
    FROM runs
    WHERE outcome <> 'skipped'
    GROUP BY 1, 2, 3, 4
    """,
)
DRIFT = (
    "SELECT DISTINCT detector, detector_version, model_version, week, runs FROM drift",
    """
    SELECT DISTINCT
        detector, detector_version, model_version,
        date_trunc('week', started_at AT TIME ZONE 'UTC')::date AS week, count(*)
    FROM runs
    WHERE outcome = 'succeeded' AND model_version IS DISTINCT FROM 'emulator'
    GROUP BY 1, 2, 3, 4
    HAVING sum(detection_count) > 0
    """,
)


def differences(engine: Engine) -> list[Any]:
    found: list[Any] = []
    with engine.connect() as connection:
        for view, plain in (COSTS, VERSIONS, DRIFT):
            query = f"({view} EXCEPT {plain}) UNION ALL ({plain} EXCEPT {view})"
            found += connection.execute(text(query))
    return found


outcomes = st.sampled_from(
    [
        {"detections": (DetectionRecord("label", "Cat", 0.5), DetectionRecord("text", "a", 0.5))},
        {"error_code": "throttled"},
        {"outcome": "skipped", "error_code": "unmet", "saved_usd": Decimal("0.001")},
    ]
)
recorded = st.fixed_dictionaries(
    {
        "outcome": outcomes,
        "detector": st.sampled_from("ab"),
        "model_version": st.sampled_from([None, "1", "emulator"]),
        "billed_units": st.sampled_from([Decimal(0), Decimal("1.5")]),
        "hours": st.integers(-900, 900),
    }
)
changes = st.sampled_from(
    [
        ("DELETE FROM runs WHERE run_id % 2 = 0",),
        ("UPDATE runs SET raw_response = NULL",),
        (
            "DELETE FROM detections WHERE run_id % 3 = 0",
            """
            UPDATE runs SET
                outcome = 'failed', error_code = 'object_replaced', error_message = '',
                detection_count = 0
            WHERE run_id % 3 = 0 AND outcome = 'succeeded'
            """,
        ),
        (retention.MERGE_RUN_COUNTS.bindparams(before=date(2100, 1, 1)),),
    ]
)


@settings(
    deadline=None,
    max_examples=DATABASE_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(happened=st.lists(st.one_of(recorded, changes), max_size=8))
def test_counts_of_runs_are_exact(
    history: History, engine: Engine, image: Make, run: Make, happened: list[Any]
) -> None:
    for what in happened:
        if isinstance(what, tuple):
            with engine.begin() as connection:
                for statement in what:
                    connection.execute(text(statement) if isinstance(statement, str) else statement)
            continue
        seen = image(f"{uuid4()}")
        made = {name: value for name, value in what.items() if name not in {"hours", "outcome"}}
        started_at = seen.uploaded_at + timedelta(hours=what["hours"])
        one = run(seen, started_at=started_at, **made, **what["outcome"])
        history.record([seen], [one])
        history.record([seen], [one])  # counted once
    assert differences(engine) == []


def test_truncating_empties_the_counts_of_runs(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image())])
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE runs CASCADE"))
        assert connection.scalar(text("SELECT count(*) FROM run_counts")) == 0


def test_the_options_of_a_run_cannot_change(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image())])
    with pytest.raises(DBAPIError, match="options"), engine.begin() as connection:
        connection.execute(text("UPDATE runs SET fingerprint = 'other'"))
