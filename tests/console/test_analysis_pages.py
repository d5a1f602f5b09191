"""The pages of SQL, costs, detectors and agreement, and their queries on a real history."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from console.conftest import ADDRESS, Client
from fakes.small_history import HOSTILE, NOON, found, image, run
from psycopg.rows import scalar_row
from retinue_console.app import make_app
from retinue_console.database import Database
from retinue_console.page import Services
from retinue_console.pages import diff
from retinue_console.queries import costs, detectors, reading
from retinue_history import Charge, ConnectionPool, History
from retinue_history.db.connections import Connection
from retinue_history.db.snapshot import Snapshot
from sqlalchemy import make_url

Record = Callable[..., None]


@pytest.fixture
def record(pool: ConnectionPool) -> Record:
    return History(pool).record


@pytest.fixture
def reader(history_url: str) -> Iterator[Connection]:
    with psycopg.connect(history_url, autocommit=True) as connection:
        yield connection


def test_every_example_runs_from_its_link(client: Client) -> None:
    links = re.findall(r'href="(/sql\?[^"]*)"', client.get("/sql").text)
    assert links
    for link in map(html.unescape, links):
        said = client.get(link)
        assert said.status_code == 200, said.text
        assert "<table>" in said.text
    for page in ("/images", "/images?label=a&detector=b", "/images?detector=b&min_confidence=0.5"):
        [link] = re.findall(r'href="(/sql\?[^"]*)"', client.get(page).text)
        assert client.get(html.unescape(link)).status_code == 200


@pytest.mark.parametrize("text", HOSTILE)
def test_values_are_texts_in_every_form(client: Client, text: str) -> None:
    sql = f"SELECT $a${text}$a$ AS a, '\\xff'::bytea, int4range(1, 2), 1.10, NULL, 'NaN'::float"
    said = client.get("/sql.json", params={"sql": sql}).json()
    assert said["rows"] == [[text, "\\xff", "[1, 2)", "1.10", None, None]]
    assert "<script>alert" not in client.get("/sql", params={"sql": sql}).text
    lines = client.get("/sql.csv", params={"sql": sql}).text
    assert lines.startswith("a,bytea,int4range,?column?")
    assert not re.search(r"^=", lines, re.MULTILINE)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM images", "a query can only read"),
        ("SELECT 1; SELECT 2", "single statement"),
        ("SELECT lable FROM latest_detections", 'column "lable" does not exist'),
    ],
)
def test_a_refused_statement_says_why(client: Client, sql: str, message: str) -> None:
    said = client.get("/sql", params={"sql": sql})
    assert said.status_code == 400
    assert message in html.unescape(said.text)
    assert sql in html.unescape(said.text)


def test_costs_are_those_of_the_view_and_of_the_month(record: Record, reader: Connection) -> None:
    now = datetime.now(UTC)
    images = [image(f"{n}.jpg", now) for n in range(3)]
    price = Decimal("0.001")
    record(
        images,
        [
            run(
                one,
                price_usd=price,
                billed_units=Decimal(1),
                charges=(Charge("group", Decimal(1), price),),
                started_at=now,
            )
            for one in images
        ],
    )
    [month] = costs.month_costs(reader)
    assert (month.detector, month.price_usd, month.billed_units) == ("objects", 3 * price, 3)
    days = costs.day_costs(reader)
    view = "SELECT detector, day, runs, failed_runs, billed_units, price_usd FROM run_costs"
    assert [
        (one.detector, one.day, one.runs, one.failed_runs, one.billed_units, one.price_usd)
        for one in days
    ] == reader.execute(view).fetchall()


def test_each_number_of_runs_leads_to_as_many(
    record: Record, services: Services, history_url: str
) -> None:
    now = datetime.now(UTC)
    images = [image(f"{n}.jpg", now) for n in range(6)]
    record(images, [run(one, started_at=now) for one in images[:3]])
    record([], [run(one, started_at=now, error_code="corrupt_image") for one in images[3:5]])
    skip = {"outcome": "skipped", "error_code": "skipped_by_key", "saved_usd": Decimal("0.001")}
    record([], [run(images[5], started_at=now, **skip)])
    reader_url = make_url(history_url).set(username="retinue_reader")
    with closing(Database(reader_url.render_as_string(hide_password=False))) as database:
        client = Client(make_app(replace(services, database=database)), base_url=ADDRESS)
        links = re.findall(r'href="(/runs\?[^"]*)">(\d+)<', client.get("/costs").text)
        assert [int(number) for _, number in links] == [3, 2, 1]
        for link, number in links:
            listed = client.get(html.unescape(link), headers={"Accept": "application/json"}).json()
            assert len(listed["runs"]) == int(number)


def test_drift_and_agreement(record: Record, reader: Connection) -> None:
    images = [image(f"{n}.jpg", NOON - timedelta(days=n)) for n in range(20)]
    record(
        images,
        [
            run(one, [found("Cat", 0.5), found("Dog" if n < 7 else "Cow", 0.8)])
            for n, one in enumerate(images)
        ]
        + [run(images[0], [found("cat")], detector="others"), run(images[1], detector="others")],
    )
    drift = detectors.list_drift(reader, "objects")
    assert (drift.until - drift.since).days == 6
    assert [(one.label, one.share, one.share_before) for one in drift.labels] == [
        ("Cow", 0, 0.5),
        ("Dog", 0.5, 0),
        ("Cat", 0.5, 0.5),
    ]
    assert drift.labels[2].mean_confidence == 0.5
    assert detectors.list_drift(reader, "none").labels == ()
    cell = detectors.AgreementCell("objects", "others", "CAT", "only a")
    compared = detectors.list_agreement(reader, cell=cell)
    assert not compared.is_part
    [cat, dog] = compared.agreement
    assert (cat.label, cat.both, cat.only_a, cat.only_b, cat.matched_boxes) == ("cat", 1, 1, 0, 1)
    assert (dog.label, dog.both, dog.only_a) == ("dog", 0, 2)
    assert cat.mean_iou == pytest.approx(1)
    [one] = compared.images
    assert one.key == "1.jpg"
    versions = detectors.list_versions(reader)
    assert {(one.detector, one.runs) for one in versions} == {("objects", 20), ("others", 2)}


def test_a_statement_that_takes_too_long_has_no_result(reader: Connection) -> None:
    sleep = psycopg.sql.SQL("SELECT pg_sleep(60)")
    assert reading.within(reader, 1, lambda: reading.fetch(reader, sleep, scalar_row)) is None
    with reader.transaction():
        assert reading.within(reader, 1, lambda: Snapshot(reader).one(sleep)) is None
        assert reading.within(reader, 1, lambda: list(Snapshot(reader).rows(sleep))) is None
        assert reader.execute("SELECT 1").fetchone() == (1,)


def test_detectors_are_compared_in_fewer_images_while_the_database_is_slow(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest = [0]  # the largest part that is read in time; 0 for any
    within = reading.within

    def in_time(connection: Connection, milliseconds: int, read: Any) -> Any:
        [size] = fastest
        too_large = size and (not isinstance(read, partial) or read.args[0] > size)
        return None if too_large else within(connection, milliseconds, read)

    monkeypatch.setattr(reading, "within", in_time)
    monkeypatch.setattr(diff, "within", in_time)
    asked = {"before": "labels", "after": "labels"}

    def told(path: str) -> str:
        return html.unescape(client.get(path, params=asked if path == "/diff" else {}).text)

    for fastest[0], newest in ((0, 300), (30, 30), (1, 0)):
        data = client.get("/agreement.json").json()
        assert (data["newest"], data["is_part"]) == (newest, newest < 300)
        assert ("newest images only" in told("/agreement")) == (newest == 30)
        assert ("aren't compared" in told("/agreement")) == (newest == 0)
    for fastest[0], newest in ((0, 1_000), (100, 100), (1, None)):
        compared = client.get("/diff.json", params=asked).json()["compared"]
        assert (compared and compared["newest"]) == newest
        assert ("newest images only" in told("/diff")) == (newest == 100)
        assert ("takes too long" in told("/diff")) == (newest is None)
    assert "retinue diff labels labels --newest 1000" in told("/diff")


def test_a_cell_is_named_whole(client: Client) -> None:
    assert client.get("/agreement?detector_a=a").status_code == 400
    cell = "/agreement?detector_a=a&detector_b=b&label=c&found_by=both"
    assert client.get(cell).status_code == 200
    assert client.get(f"{cell}&found_by=x").status_code == 400
