"""Months leave Postgres for an archive, and nothing is lost or doubled wherever it is killed."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from botocore.awsrequest import AWSResponse
from fakes.command import run_retinue
from generators.archive_columns import archive_columns, athena_columns
from pyarrow import parquet
from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.erase import count_rows, doomed_images, doomed_person, erase_rows
from retinue_cli.data.archive.files import batches
from retinue_cli.data.archive.manifest import DATA, MANIFEST, Manifest
from retinue_cli.data.archive.months import ArchiveDestination
from retinue_cli.data.archive.place import ArchiveConflictError, Bucket, Folder, Place
from retinue_cli.data.archive.query import VIEWS, ArchiveQuery, run_archive_query
from retinue_cli.local import AwsEndpoint
from retinue_cli.options.archive import archive_place
from retinue_history import (
    DetectionRecord,
    History,
    HistoryError,
    HistoryUnavailableError,
    QueryError,
    RemovedObject,
)
from retinue_history.privacy.erasure import PersonNames
from retinue_history.privacy.image_erasure import ImageSubject
from retinue_history.upkeep.maintenance import Retention, maintain, months_before
from retinue_sdk import ConfigurationError
from retinue_sdk.json_value import encode_json
from retinue_workers.settings.settings import Settings
from sqlalchemy import Engine, text

Make = Callable[..., Any]

KEEP = Retention(detections_months=1, deleted_images_days=None)
MONTHS = [months_before(datetime.now(UTC), number) for number in range(5)]


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a place for an archive, of each kind, as commands open it."""
    if request.param == "folder":
        return Folder(tmp_path / "archive")
    aws = request.getfixturevalue("aws")
    patch = request.getfixturevalue("monkeypatch")
    for name, setting in aws.environment({}).items():
        patch.setenv(name, setting)
    bucket = f"b{uuid.uuid4().hex}"
    aws.client("s3").create_bucket(Bucket=bucket)
    opened = archive_place(Settings.load(archive=f"s3://{bucket}/history"))
    assert isinstance(opened, Bucket)
    return opened


@pytest.fixture
def labels(history: History, image: Make, run: Make) -> Counter[str]:
    """Record two detectors' findings in five months, with awkward texts. Return the labels."""
    texts = ['a "quoted", one\nwith lines', "Cat", "ü" * 700, "Dog", "Cat"]
    for number, month in enumerate(MONTHS):
        seen = image(f"{number}.jpg", uploaded_at=month)
        runs = []
        for detector in ("labels", "faces é/2"):
            found = tuple(
                DetectionRecord(
                    "label", label, 0.5, attributes=encode_json({"n": [number, None, label]})
                )
                for label in texts
            )
            when = month + timedelta(minutes=number)
            runs.append(run(seen, detector=detector, started_at=when, detections=found))
        history.record([seen], runs)
    return Counter({label: texts.count(label) * 10 for label in texts})


def archive_months(engine: Engine, url: str, place: Place) -> list[str]:
    lines: list[str] = []
    destination = ArchiveDestination(place, url, lambda _: None)
    maintain(engine, KEEP, tell=lines.append, archive=destination)
    return [line for line in lines if line.startswith("archived")]


def ask(place: Place, url: str, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    return run_archive_query(place, url, ArchiveQuery(sql, **options), lambda _: None).rows


def seen_by_both(place: Place, url: str) -> Counter[str]:
    return Counter(
        dict(ask(place, url, "SELECT label, count(*) FROM detection_history GROUP BY 1"))
    )


def value(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.scalar(text(query))


def test_months_leave_and_one_query_sees_all(
    engine: Engine, history_url: str, place: Place, labels: Counter[str]
) -> None:
    with engine.connect() as connection:
        columns = ", ".join(
            name if name not in ("image_id", "attributes") else f"{name}::text"
            for name in columns_of(engine, "detection_history")
        )
        before = connection.execute(
            text(f"SELECT {columns} FROM detection_history ORDER BY detection_id")
        ).all()
    assert len(archive_months(engine, history_url, place)) == 3
    assert value(engine, "SELECT count(*) FROM detections") == 20
    assert value(engine, "SELECT count(*) FROM archived_months WHERE archived_at IS NOT NULL") == 3
    assert seen_by_both(place, history_url) == labels
    after = ask(place, history_url, "FROM detection_history ORDER BY detection_id")
    assert after == [tuple(row) for row in before]
    files = Archive.open(place).files
    assert {(file.detector, file.month) for file in files} == {
        (detector, f"{month:%Y-%m}") for detector in ("labels", "faces é/2") for month in MONTHS[2:]
    }
    assert {name for name, _ in place.list(DATA)} == {file.name for file in files}
    assert archive_months(engine, history_url, place) == []
    narrow = {"since": MONTHS[3], "until": MONTHS[2]}
    assert ask(place, history_url, "SELECT count(*) FROM detection_history", **narrow) == [(10,)]
    times = (
        "SELECT DISTINCT ordinal, interval '1 month -1 second' FROM detection_history ORDER BY 1"
    )
    assert ask(place, history_url, times)[:2] == [
        (0, "1 month -00:00:01"),
        (1, "1 month -00:00:01"),
    ]


def columns_of(engine: Engine, view: str) -> list[str]:
    with engine.connect() as connection:
        names = connection.scalars(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:view AS regclass) "
                "AND attnum > 0 ORDER BY attnum"
            ),
            {"view": view},
        )
        return [name for name in names if name != "box"]


def test_late_detections_are_added_to_their_month(
    engine: Engine,
    history: History,
    history_url: str,
    tmp_path: Path,
    labels: Counter[str],
    image: Make,
    run: Make,
) -> None:
    place = Folder(tmp_path / "archive")
    archive_months(engine, history_url, place)
    late = image("late.jpg", uploaded_at=MONTHS[4])
    found = (DetectionRecord("label", "Late", 0.5),)
    done = run(late, started_at=MONTHS[4], detections=found)
    history.record([late], [done, run(late, detector="newer", started_at=MONTHS[0])])
    expected = labels + Counter(Late=1)
    assert seen_by_both(place, history_url) == expected
    assert len(archive_months(engine, history_url, place)) == 1
    assert seen_by_both(place, history_url) == expected
    assert len(Archive.open(place).files) == 7
    # The latest runs are known to Postgres only.
    latest = "SELECT count(*) FROM latest_detections"
    assert ask(place, history_url, latest) == [(51,)]
    again = run(late, fingerprint="g", started_at=MONTHS[0], detections=found * 2)
    history.record([late], [again])
    assert ask(place, history_url, latest) == [(52,)]
    assert ask(place, history_url, f"{latest} WHERE label = 'Late'") == [(2,)]


class KilledError(BaseException):
    """The process ends here."""


class Mortal:
    """A place at which the process is killed, before or after one of its changes.

    Args:
        place: The place.
        lives: The number of changes before the last one.
        kill: Ends the process.
    """

    CHANGES = ("replace", "overwrite", "add", "delete")

    def __init__(self, place: Place, lives: float, kill: Callable[[], None]) -> None:
        self.place, self.lives, self.kill = place, lives, kill
        self.changes = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.place, name)
        return self._change(found) if name in self.CHANGES else found

    def _change(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any) -> Any:
            self.changes += 1
            if self.changes > self.lives:
                self.kill()
            return change(*arguments)

        return changing


def die() -> None:
    raise KilledError


def test_killed_before_each_change_nothing_is_lost_or_doubled(
    engine: Engine, history_url: str, place: Place, labels: Counter[str]
) -> None:
    """Each attempt gets one change further than the last one. Between them, a row changes."""
    lives = 0
    Archive.open_or_create(place)
    while True:
        mortal = Mortal(place, lives, die)
        try:
            archive_months(engine, history_url, mortal)
            break
        except KilledError:
            assert seen_by_both(place, history_url) == labels, f"killed at change {lives}"
            lives += 1
    assert lives >= 8
    assert seen_by_both(place, history_url) == labels
    assert {name for name, _ in place.list(DATA)} == {
        file.name for file in Archive.open(place).files
    }


def test_a_real_kill_between_the_manifest_and_the_drop(
    engine: Engine, history_url: str, tmp_path: Path, labels: Counter[str]
) -> None:
    """SIGKILL at the moment of publication, of another process with its open connections."""
    place = Folder(tmp_path / "archive")
    script = f"""if True:
        import os, signal, sys
        from pathlib import Path
        from retinue_cli.data.archive import months
        from retinue_cli.data.archive.place import Folder
        from retinue_history.db.engine import create_history_engine
        from retinue_history.upkeep.maintenance import Retention, maintain

        class Destination(months.ArchiveDestination):
            def copy(self, month):
                super().copy(month)
                os.kill(os.getpid(), signal.SIGKILL)

        url = sys.argv[1]
        archive = Destination(Folder(Path({str(tmp_path / "archive")!r})), url, lambda _: None)
        engine = create_history_engine(url, application_name="test")
        maintain(engine, Retention(detections_months=1), tell=print, archive=archive)
    """
    done = subprocess.run([sys.executable, "-c", script, history_url], check=False)
    assert done.returncode == -signal.SIGKILL
    [attempt] = {file.attempt for file in Archive.open(place).files}
    assert value(engine, "SELECT attempt FROM archived_months") == attempt
    assert seen_by_both(place, history_url) == labels
    assert len(archive_months(engine, history_url, place)) == 3
    assert seen_by_both(place, history_url) == labels


MAINTAIN = """if True:
    import sys
    import duckdb, pyarrow.parquet
    from retinue_cli.data.archive.months import ArchiveDestination
    from retinue_cli.options.archive import archive_place
    from retinue_history.db.engine import create_history_engine
    from retinue_history.upkeep.maintenance import Retention, maintain
    from retinue_workers.settings.settings import Settings

    destination = ArchiveDestination(archive_place(Settings.load()), sys.argv[1], lambda _: None)
    engine = create_history_engine(sys.argv[1], application_name="test")
    keep = Retention(detections_months=1, deleted_images_days=None)
    print("ready", flush=True)
    maintain(engine, keep, tell=lambda _: None, archive=destination)
"""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_killed_at_twenty_random_moments(
    engine: Engine, history: History, history_url: str, place: Place, labels: Counter[str],
    image: Make, run: Make, aws: AwsEndpoint,
) -> None:  # fmt: skip
    """SIGKILL of a process that archives. Each process has late detections of three months."""
    environment = {**aws.environment(dict(os.environ)), "RETINUE_ARCHIVE": place.name}
    moments = Random(22)
    duration: float | None = None
    kills = rounds = 0
    while kills < 20:
        rounds += 1
        for number, month in enumerate(MONTHS[2:]):
            late = image(f"late-{rounds}-{number}.jpg", uploaded_at=month)
            found = (DetectionRecord("label", f"Late {rounds}", 0.5),) * 3
            history.record([late], [run(late, started_at=month, detections=found)])
            labels[f"Late {rounds}"] += 3
        process = subprocess.Popen(
            [sys.executable, "-c", MAINTAIN, history_url], env=environment, stdout=subprocess.PIPE
        )
        with process, closing(process.stdout):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            began = time.monotonic()
            try:
                process.wait(None if duration is None else moments.uniform(0, duration))
                duration = min(duration or math.inf, time.monotonic() - began)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        assert process.returncode in (0, -signal.SIGKILL)
        assert seen_by_both(place, history_url) == labels, f"after kill {kills}"
    archive_months(engine, history_url, place)
    assert seen_by_both(place, history_url) == labels
    assert {name for name, _ in place.list(DATA)} == {
        file.name for file in Archive.open(place).files
    }


def test_a_month_that_changes_while_it_is_copied_is_copied_again(
    engine: Engine, history_url: str, tmp_path: Path, labels: Counter[str]
) -> None:
    class Changing(ArchiveDestination):
        changes = 0

        def copy(self, month: Any) -> None:
            super().copy(month)
            if self.changes:
                self.changes -= 1
                with engine.begin() as connection:
                    connection.execute(
                        text(
                            f"DELETE FROM detections WHERE detection_id = "
                            f"(SELECT min(detection_id) FROM {month.partition})"
                        )
                    )

    destination = Changing(Folder(tmp_path / "archive"), history_url, lambda _: None)
    destination.changes = 2
    maintain(engine, KEEP, tell=lambda _: None, archive=destination)
    place = Folder(tmp_path / "archive")
    assert seen_by_both(place, history_url).total() == labels.total() - 2
    assert {name for name, _ in place.list(DATA)} == {
        file.name for file in Archive.open(place).files
    }


def test_a_month_that_always_changes_stays(
    engine: Engine, history_url: str, tmp_path: Path, labels: Counter[str]
) -> None:
    class Restless(ArchiveDestination):
        def copy(self, month: Any) -> None:
            super().copy(month)
            with engine.begin() as connection:
                connection.execute(text(f"UPDATE {month.partition} SET confidence = 0.25"))

    place = Folder(tmp_path / "archive")
    with pytest.raises(HistoryUnavailableError, match="3 times in a row"):
        maintain(
            engine,
            KEEP,
            tell=lambda _: None,
            archive=Restless(place, history_url, lambda _: None),
        )
    assert value(engine, "SELECT count(*) FROM detections") == labels.total()
    assert seen_by_both(place, history_url) == labels


def test_a_document_is_replaced_only_by_who_read_it(place: Place) -> None:
    tag = place.replace("doc", b"1", None)
    assert place.read("doc") == (b"1", tag)
    with pytest.raises(ArchiveConflictError):
        place.replace("doc", b"2", None)
    newer = place.replace("doc", b"3", tag)
    with pytest.raises(ArchiveConflictError):
        place.replace("doc", b"4", tag)
    assert place.read("doc") == (b"3", newer)
    assert place.read("nothing") is None
    assert list(place.list("")) == [("doc", 1)] or isinstance(place, Folder)
    place.delete("doc")
    place.delete("doc")
    assert place.read("doc") is None


def test_two_processes_cannot_change_an_archive(place: Place) -> None:
    first, second = Archive.open_or_create(place), Archive.open(place)
    first.publish([], [])
    changed = Archive.open(place)
    place.replace(MANIFEST, Archive.open(place)._manifest.dump() + b"\n", changed._tag)
    with pytest.raises(ConfigurationError, match="another process changed"):
        second.publish([], [])


@pytest.fixture
def archived(engine: Engine, history_url: str, tmp_path: Path, labels: Counter[str]) -> Folder:
    place = Folder(tmp_path / "archive")
    archive_months(engine, history_url, place)
    return place


def test_damage_is_an_error_that_names_the_remedy(
    engine: Engine, archived: Folder, history_url: str, tmp_path: Path
) -> None:
    def refused(what: str) -> None:
        with pytest.raises((ConfigurationError, QueryError), match=what):
            ask(archived, history_url, "SELECT max(bucket), max(label) FROM detection_history")

    file = Archive.open(archived).files[0]
    path = tmp_path / "archive" / file.name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("has .* bytes, not .*Restore it from a backup")
    path.write_bytes(whole[:200] + bytes(byte ^ 1 for byte in whole[200:600]) + whole[600:])
    refused("a file of the archive can't be read")
    path.unlink()
    refused("is missing. Restore it from a backup")
    path.write_bytes(whole)
    manifest = tmp_path / "archive" / MANIFEST
    listed = manifest.read_bytes()
    manifest.write_bytes(listed.replace(b'"version": 1', b'"version": 2'))
    refused("has format 2, and this release reads up to 1: update Retinue")
    with pytest.raises(ConfigurationError, match="update Retinue"):
        archive_months(engine, history_url, archived)
    escaped = re.sub(rb'"name": "[^"]*"', b'"name": "data/../../secret.parquet"', listed)
    for damaged in (listed[:-9], b"", b"[]", b'{"files": [{}]}', b"\xff", escaped):
        manifest.write_bytes(damaged)
        refused("is damaged: (?s:.*)Restore it from a backup")
    manifest.unlink()
    refused("isn't an archive")
    with pytest.raises(ConfigurationError, match="has data files and no manifest"):
        archive_months(engine, history_url, archived)
    with pytest.raises(HistoryError, match="RETINUE_ARCHIVE is not set"):
        maintain(engine, KEEP, tell=lambda _: None)


def test_a_bucket_that_refuses_is_an_error_before_harm(
    engine: Engine, history_url: str, aws: AwsEndpoint, labels: Counter[str]
) -> None:
    with pytest.raises(ConfigurationError, match="create the bucket, or correct RETINUE_ARCHIVE"):
        archive_months(engine, history_url, Bucket(aws.client("s3"), "no-such-bucket", ""))
    assert value(engine, "SELECT count(*) FROM detections") == labels.total()


def refuse(client: Any, operation: str, status: int, code: str, region: str | None) -> None:
    """Let S3 refuse an operation, as it does before it looks at anything else."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    headers = {"x-amz-bucket-region": region} if region else {}

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, status, headers, Raw(body))

    client.meta.events.register(f"before-send.s3.{operation}", answer)


class Raw(BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (("GetObject", 403, "AccessDenied", None), "allow s3:GetObject and s3:ListBucket on it"),
        (("PutObject", 403, "AccessDenied", None), "allow s3:PutObject on it, and kms:Decrypt"),
        (("ListObjectsV2", 403, "AccessDenied", None), "allow s3:ListBucket on it"),
        (
            ("GetObject", 301, "PermanentRedirect", "eu-central-1"),
            "the bucket is in eu-central-1: set AWS_REGION",
        ),
        (
            ("GetObject", 400, "AuthorizationHeaderMalformed", None),
            "the bucket is in another region: set AWS_REGION",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)),
)
@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_a_permission_or_region_that_is_wrong_is_an_error_before_harm(
    engine: Engine, history_url: str, place: Bucket, labels: Counter[str], refusal: Any, remedy: str
) -> None:
    refuse(place._client, *refusal)
    with pytest.raises(ConfigurationError, match=remedy):
        archive_months(engine, history_url, place)
    assert value(engine, "SELECT count(*) FROM detections") == labels.total()


def test_the_recipe_for_duckdb_works(archived: Folder, labels: Counter[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/archive.md").read_text(encoding="utf-8")
    [recipe] = re.findall(r"```sql\n(SET VARIABLE .*?)```", page, re.DOTALL)
    # A file that isn't published, as a crash leaves it.
    published = Path(archived.name, Archive.open(archived).files[0].name)
    published.with_name("left.parquet").write_bytes(published.read_bytes())
    with closing(duckdb.connect()) as connection:
        for statement in (
            recipe.replace("s3://my-archive/retinue", archived.name).rstrip(";\n").split(";\n")
        ):
            answer = connection.sql(statement)
        days = answer.to_arrow_table().to_pylist()
    months = MONTHS[:1:-1]  # the two newest stay in Postgres
    assert [day["day"].date() for day in days] == [month.date() for month in months]
    assert {day["count_star()"] for day in days} == {labels["Cat"] // len(MONTHS)}


HOSTILE = (
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM glob('/*')",
    "FROM '/etc/passwd'",
    "FROM query('FROM read_text(''/etc/passwd'')')",
    "COPY detections TO '/tmp/out.csv'",
    "ATTACH '/tmp/other.db'",
    "INSTALL httpfs",
    "SET memory_limit = '100GB'",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW detections",
    "SELECT 1; SELECT 2",
    "",
    "SELECT repeat(chr(120), 3000000000)",
    "SELECT nothing FROM detection_history",
)


def test_a_hostile_query_reads_nothing_else(archived: Folder, history_url: str) -> None:
    for sql in HOSTILE:
        with pytest.raises(QueryError):
            ask(archived, history_url, sql)
    with pytest.raises(QueryError, match="took longer than"):
        ask(
            archived,
            history_url,
            "SELECT count(*) FROM range(10000000000) AS a, range(1000000) AS b",
            timeout_seconds=0.2,
        )
    limited = ArchiveQuery("SELECT * FROM range(1000000000)", row_limit=3)
    result = run_archive_query(archived, history_url, limited, lambda _: None)
    assert (len(result.rows), result.truncated) == (3, True)


def test_views_have_the_columns_of_postgres(
    engine: Engine, archived: Folder, history_url: str
) -> None:
    for view in VIEWS:
        asked = ArchiveQuery(f"FROM {view} LIMIT 0")
        found = run_archive_query(archived, history_url, asked, lambda _: None).columns
        assert list(found) == columns_of(engine, view)


def test_the_page_lists_the_columns() -> None:
    page = (Path(__file__).parents[2] / "docs/archive.md").read_text(encoding="utf-8")
    [_, table] = page.split("<!-- columns -->\n")
    assert table.partition("\n<!-- end of columns -->")[0] == archive_columns()
    module = (Path(__file__).parents[2] / "infra/modules/archive/athena.tf").read_text("utf-8")
    in_athena = dict(re.findall(r'\{ name = "(\w+)", type = "(\w+)" \}', module))
    assert in_athena == {
        name: kind for name, kind in athena_columns().items() if name != "detector"
    }


def forget(url: str, place: Place, patch: pytest.MonkeyPatch, *arguments: str) -> str:
    patch.setenv("RETINUE_DATABASE_URL", url)
    patch.setenv("RETINUE_ARCHIVE", place.name)
    return run_retinue("forget", *arguments).output


def bytes_of(place: Place) -> bytes:
    """Return all data files, with their columns decompressed."""
    archive = Archive.open(place)
    columns = ["key", "label", "attributes"]
    rows = [b.to_pylist() for file in archive.files for b in batches(archive, file, columns)]
    return repr(rows).encode()


def test_forget_reaches_the_archive(
    engine: Engine, history_url: str, place: Place, labels: Counter[str], aws: AwsEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if isinstance(place, Bucket):
        aws.client("s3").put_bucket_versioning(
            Bucket=place._bucket, VersioningConfiguration={"Status": "Enabled"}
        )
    archive_months(engine, history_url, place)
    before = {file.name for file in Archive.open(place).files}
    plan = forget(history_url, place, monkeypatch, "--image", "3.jpg", "--dry-run")
    assert f"archive {place.name}: 10 detections in 2 files" in plan
    assert {file.name for file in Archive.open(place).files} == before

    done = forget(history_url, place, monkeypatch, "--image", "3.jpg", "--yes")
    assert "verified: nothing is left in the archive" in done
    assert "10 archived detections" in done
    assert "3.jpg" not in bytes_of(place).decode()
    assert "2.jpg" in bytes_of(place).decode()
    left = {file.name for file in Archive.open(place).files}
    assert len(left) == 4
    assert {name for name, _ in place.list(DATA)} == left
    assert seen_by_both(place, history_url).total() == labels.total() - 10
    assert value(engine, "SELECT removed ->> 'archived_detections' FROM erasures") == "10"
    again = forget(history_url, place, monkeypatch, "--image", "3.jpg", "--yes")
    assert "nothing is left" in again
    if isinstance(place, Bucket):
        versions = aws.client("s3").list_object_versions(
            Bucket=place._bucket, Prefix="history/data"
        )
        assert {one["Key"] for one in versions["Versions"]} == {f"history/{name}" for name in left}
        assert "DeleteMarkers" not in versions
        # Athena is told the same.
        links = [place.read(name) for name, _ in place.list("athena/")]
        named = {line for link in links if link for line in link[0].decode().splitlines()}
        assert named == {f"{place.name}/{name}" for name in left}


def test_an_erasure_killed_at_any_change_is_continued(
    engine: Engine, history_url: str, place: Place, labels: Counter[str]
) -> None:
    archive_months(engine, history_url, place)
    doomed = doomed_images(ImageSubject.prefix("s3://photos/4"))
    lives = 0
    while True:
        mortal = Archive.open(Mortal(place, lives, die))
        try:
            list(erase_rows(mortal, doomed, count_rows(mortal, doomed)))
            break
        except KilledError:
            kept = seen_by_both(place, history_url).total()
            assert kept in (labels.total() - lost for lost in (0, 5, 10))
            lives += 1
    assert lives >= 3
    archive = Archive.open(place)
    assert count_rows(archive, doomed) == {}
    assert {name for name, _ in place.list(DATA)} == {file.name for file in archive.files}
    assert seen_by_both(place, history_url).total() == labels.total() - 10


def test_an_erasure_of_a_damaged_file_changes_nothing(archived: Folder, tmp_path: Path) -> None:
    archive = Archive.open(archived)
    doomed = doomed_images(ImageSubject.prefix("s3://photos/"))
    found = count_rows(archive, doomed)
    for file in archive.files:
        path = tmp_path / "archive" / file.name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    with pytest.raises(ConfigurationError, match="isn't as it was written"):
        list(erase_rows(archive, doomed, found))
    assert Archive.open(archived).files == archive.files


def test_a_file_with_other_columns_is_an_error(archived: Folder) -> None:
    """As if another program had written the file and the manifest."""
    file = Archive.open(archived).files[0]
    table = parquet.read_table(Path(archived.name, file.name), partitioning=None)
    path = Path(archived.name, file.name).with_name("other.parquet")
    for other in (table.drop_columns(["key"]), table.append_column("more", table["key"])):
        parquet.write_table(other, path)
        name = path.relative_to(archived.name).as_posix()
        listed = file.model_copy(update={"name": name, "bytes": path.stat().st_size})
        archive = Archive(archived, Manifest(files=(listed,)), "")
        with pytest.raises(ConfigurationError, match=r"has other columns than .*Restore it"):
            count_rows(archive, doomed_images(ImageSubject.prefix("s3://photos/")))


def test_the_purge_leaves_the_archive_and_forget_reaches_it(
    engine: Engine, archived: Folder, history: History, history_url: str, labels: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    gone = RemovedObject("photos", "3.jpg", "v1", "20", datetime.now(UTC) - timedelta(days=9))
    history.record([], [], [gone])
    purge = Retention(detections_months=1, deleted_images_days=7)
    archive = ArchiveDestination(archived, history_url, lambda _: None)
    maintain(engine, purge, tell=lambda _: None, archive=archive)
    assert value(engine, "SELECT count(*) FROM images WHERE key = '3.jpg'") == 0
    assert seen_by_both(archived, history_url) == labels
    done = forget(history_url, archived, monkeypatch, "--image", "s3://photos/3.jpg", "--yes")
    assert "10 archived detections" in done
    assert seen_by_both(archived, history_url).total() == labels.total() - 10


FACES: list[Any] = [
    {},
    {"FaceId": "ann"},
    {"Face": {"ExternalImageId": "ann", "FaceId": "x"}},
    {"Face": {"FaceId": 7}, "UserId": None},
    {"FaceMatches": [{"Face": {"FaceId": "bob"}}, {"Face": {"UserId": "ann"}}]},
    {"SearchedFaceId": "ann", "Name": "bob"},
    {"Name": "ann"},
    {"FaceId": ["ann", {"FaceId": "bob"}]},
    {'quoted "FaceId"': "ann", "n": [[{"ExternalImageId": 'b"ob'}]]},
]


def test_people_are_found_as_in_postgres(engine: Engine) -> None:
    for answer in FACES:
        encoded = json.dumps(answer)
        with engine.connect() as connection:
            named = connection.scalar(
                text("SELECT faces_named(CAST(:answer AS jsonb))"), {"answer": encoded}
            )
        for name in ("ann", "bob", 'b"ob', "x"):
            batch = pa.record_batch({"kind": ["face"], "label": ["Face"], "attributes": [encoded]})
            found = doomed_person(PersonNames(frozenset({name}))).find(batch)
            assert found.to_pylist() == [name in named], (answer, name)
    kinds = {"kind": ["face_match", "label"], "label": ["ann"] * 2, "attributes": ["{}"] * 2}
    found = doomed_person(PersonNames(frozenset(), frozenset({"ann"}))).find(pa.record_batch(kinds))
    assert found.to_pylist() == [True, False]
