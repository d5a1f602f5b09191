"""Postgres reads array literals back as the recorded values, for any values."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import scalar_row
from retinue_history import HistoryDataError
from retinue_history.db import pg_arrays
from retinue_sdk.json_value import encode_json

Read = Callable[[str, str], Any]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    ["NULL", "null", "", '"', "\\", "{}", "a,b", " padded ", "\n"]
)
FIRST, LAST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - in any zone
ZONES = st.just(UTC) | st.integers(-840, 840).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)


@pytest.fixture(scope="module")
def read(postgres_server: str) -> Iterator[Read]:
    """Asks Postgres what a literal of a type means."""
    with psycopg.connect(postgres_server, autocommit=True, row_factory=scalar_row) as connection:
        yield lambda literal, kind: connection.execute(
            f"SELECT CAST(%s AS {kind})",
            (literal,),
        ).fetchone()


@given(st.lists(st.none() | TEXT, max_size=5))
def test_texts(read: Read, values: list[str | None]) -> None:
    assert read(pg_arrays.texts("label", values), "text[]") == values


@given(
    st.lists(st.none() | st.floats() | st.integers(-(2**53), 2**53) | st.booleans(), max_size=5),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=6), max_size=5),
    st.lists(st.booleans(), max_size=5),
    st.lists(st.uuids(), max_size=5),
)
def test_numbers_booleans_and_ids(
    read: Read, floats: Any, integers: Any, decimals: Any, booleans: Any, ids: list[UUID]
) -> None:
    expected = [None if value is None else float(value) for value in floats]
    assert repr(read(pg_arrays.floats(floats), "double precision[]")) == repr(expected)
    assert read(pg_arrays.integers(integers), "bigint[]") == integers
    assert read(pg_arrays.decimals(decimals), "numeric[]") == decimals
    assert read(pg_arrays.booleans(booleans), "boolean[]") == booleans
    assert read(pg_arrays.uuids(ids), "uuid[]") == ids


def test_a_number_that_a_column_cannot_hold_is_for_postgres_to_refuse(read: Read) -> None:
    assert read(pg_arrays.integers([2**64, None]), "numeric[]") == [2**64, None]
    with pytest.raises(psycopg.DataError, match="out of range"):
        read(pg_arrays.integers([2**64]), "bigint[]")


@given(st.lists(st.datetimes(FIRST, LAST, timezones=ZONES), max_size=5))
def test_times(read: Read, values: list[datetime]) -> None:
    assert read(pg_arrays.times("started_at", values), "timestamptz[]") == values


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        ),
        max_size=3,
    )
)
def test_json(read: Read, values: list[Any]) -> None:
    assert read(pg_arrays.jsons(map(encode_json, values)), "jsonb") == values


@pytest.mark.parametrize(("bad", "why"), [("a\0", "NUL"), ("\ud800", "surrogate")])
def test_what_postgres_cannot_hold_is_refused_by_name(bad: str, why: str) -> None:
    with pytest.raises(HistoryDataError, match=rf"label .* contains .*{why}"):
        pg_arrays.texts("label", ["fine", None, bad])
    with pytest.raises(HistoryDataError, match=r"started_at .* has no time zone"):
        pg_arrays.times("started_at", [datetime.now(UTC), datetime(2026, 1, 1)])  # noqa: DTZ001
