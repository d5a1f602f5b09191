"""Ask one query of Postgres and the archive, in DuckDB.

DuckDB reads nothing by itself: it can open neither files nor connections, and no statement can
change that. It scans the archive's files, which are given to it as an Arrow dataset, and a copy of
the detections that are still in Postgres.

A month is in both for a moment, between its publication and the drop of its partition. Postgres is
therefore read first, and its detections are left out of the archive's.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import sql
from retinue_history.analysis.query import QueryResult
from retinue_history.db.errors import QueryError
from retinue_history.db.snapshot import Snapshot, snapshot
from retinue_history.upkeep.archiving import archived_rows, next_month
from retinue_sdk import ConfigurationError

from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.files import pyarrow, schema, stored
from retinue_cli.data.archive.manifest import ArchivedFile
from retinue_cli.data.archive.months import row_batches
from retinue_cli.data.archive.place import Place

MEMORY = "1GB"
TEMPORARY = "8GB"
"""DuckDB's limits of a query: memory, and files of sorts and joins."""

PROCESS_BYTES = 3 * 2**30
"""How much the process may grow. DuckDB doesn't count the results of functions such as repeat."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ArchiveQuery:
    """A query of Postgres and the archive.

    Attributes:
        sql: One SELECT, in DuckDB's dialect.
        since: Only detections from this time.
        until: Only detections before this time.
        row_limit: Maximum number of rows of the result.
        timeout_seconds: Time limit, without the copying of Postgres' detections.
    """

    sql: str
    since: datetime = BEGINNING
    until: datetime = END
    row_limit: int = 1_000
    timeout_seconds: float = 30.0


def run_archive_query(
    place: Place, url: str, query: ArchiveQuery, advance: Callable[[int], None]
) -> QueryResult:
    """Run a query. It can change nothing.

    Args:
        place: Where the archive is.
        url: The database; the login can be a reader.
        query: The query.
        advance: Called with the number of further rows that were copied from Postgres.

    Raises:
        ConfigurationError: The archive can't be read, or DuckDB isn't installed.
        HistoryUnavailableError: The database can't be read.
        QueryError: DuckDB refuses the query.
    """
    with _database() as (duckdb, connection):
        _check(duckdb, connection, query.sql)
        with snapshot(url, "retinue query") as rows:
            # A month that leaves Postgres from now on is in this snapshot.
            archive = Archive.open(place)
            archive.check_files()
            _copy_recent(connection, rows, query, advance)
        _create_views(connection, archive, query)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        with _bounded_memory():
            return _run(duckdb, connection, query)


def dataset(archive: Archive, since: datetime = BEGINNING, until: datetime = END) -> Any:
    """Return the archive's files with detections of these months as an Arrow dataset."""
    pa = pyarrow()
    from pyarrow import dataset as datasets  # type: ignore[import-untyped]

    files = {file.name: file for file in archive.files}
    system = _file_system(archive, files)
    form = datasets.ParquetFileFormat(
        default_fragment_scan_options=datasets.ParquetFragmentScanOptions(
            pre_buffer=True, page_checksum_verification=True
        )
    )
    field = datasets.field
    fragments = []
    for file in files.values():
        first = _begins(file.month)
        last = next_month(first)
        if first >= until or last <= since:
            continue
        known = (
            (field("detector") == file.detector)
            & (field("detected_at") >= pa.scalar(first, pa.timestamp("us", "UTC")))
            & (field("detected_at") < pa.scalar(last, pa.timestamp("us", "UTC")))
        )
        fragments.append(form.make_fragment(file.name, system, partition_expression=known))
    return datasets.FileSystemDataset(fragments, schema(), form, system)


@contextmanager
def _database() -> Iterator[tuple[Any, Any]]:
    """Yield the module, and a connection to an empty database in memory."""
    pyarrow()
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError(
            f"--archive needs the package duckdb: `pip install 'retinue-cli[archive]'` ({error})"
        ) from error
    with TemporaryDirectory(prefix="retinue-query-") as folder:
        settings: dict[str, Any] = {
            "memory_limit": MEMORY,
            "temp_directory": str(Path(folder, "spilled")),
            "max_temp_directory_size": TEMPORARY,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield duckdb, connection
        finally:
            connection.close()


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Limit the process's memory, where Linux counts it."""
    import resource

    status = Path("/proc/self/status")
    if not status.exists():
        yield
        return
    [used] = [line.split()[1] for line in status.read_text().splitlines() if "VmData" in line]
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(used) * 1024 + PROCESS_BYTES
    if before[0] == resource.RLIM_INFINITY or wanted < before[0]:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _check(duckdb: Any, connection: Any, text: str) -> None:
    """Refuse all but one SELECT or EXPLAIN."""
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1:
        raise QueryError(f"write one statement, not {len(statements)}")
    kind = statements[0].type
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise QueryError(f"a query can only read: write SELECT, not {kind.name}")


def _copy_recent(
    connection: Any, rows: Snapshot, query: ArchiveQuery, advance: Callable[[int], None]
) -> None:
    """Copy the detections of Postgres, and the ids of the latest runs if the query needs them."""
    import pyarrow as pa

    def counted() -> Iterator[Any]:
        for batch in row_batches(rows, archived_rows(query.since, query.until)):
            yield batch
            advance(batch.num_rows)

    reader = pa.RecordBatchReader.from_batches(schema(), counted())
    connection.register("reader", reader)
    connection.execute("CREATE TABLE recent AS FROM reader")
    connection.unregister("reader")
    connection.execute("CREATE TABLE latest (run_id BIGINT)")
    if "latest_detections" in query.sql.lower():
        latest = sql.SQL(
            "SELECT run_id FROM latest_runs WHERE started_at >= {} AND started_at < {}"
        ).format(query.since, query.until)
        ids = pa.array([run_id for (run_id,) in rows.rows(latest)], pa.int64())
        connection.register("reader", pa.table({"run_id": ids}))
        connection.execute("INSERT INTO latest FROM reader")
        connection.unregister("reader")


def _create_views(connection: Any, archive: Archive, query: ArchiveQuery) -> None:
    """Create the views of the same names as in Postgres."""
    connection.register("archived", dataset(archive, query.since, query.until))
    last = max((file.month for file in archive.files), default="0001-01")
    connection.execute(
        f"CREATE TABLE published AS SELECT detection_id FROM recent "  # noqa: S608 - ours
        f"WHERE detected_at < {_time(next_month(_begins(last)))}"
    )
    [overlap] = connection.execute("SELECT count(*) FROM published").fetchone()
    twice = "AND detection_id NOT IN (FROM published)" if overlap else ""
    connection.execute(f"""
        CREATE VIEW detections AS
        FROM recent
        UNION ALL
        FROM archived
        WHERE detected_at >= {_time(query.since)} AND detected_at < {_time(query.until)} {twice}
    """)
    for name, columns in VIEWS.items():
        only = "" if name == "detection_history" else "WHERE run_id IN (FROM latest)"
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM detections {only}")  # noqa: S608


def _begins(month: str) -> datetime:
    return datetime.strptime(f"{month} +0000", "%Y-%m %z")


def _time(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


_FIRST = """
    detection_id, run_id, image_id, bucket, key, version, 's3://' || bucket || '/' || key AS s3_uri,
    detector, detector_version, fingerprint, model_version, ordinal, kind, label, confidence,
    box_left, box_top, box_width, box_height, attributes, detected_at, uploaded_at
"""

_LAST = """
    width_px, height_px, box_width * width_px AS box_width_px,
    box_height * height_px AS box_height_px, start_ms, end_ms, track
"""

VIEWS = {
    "detection_history": f"{_FIRST}, deleted_at, {_LAST}",
    "latest_detections": f"{_FIRST}, {_LAST}",
}
"""The columns of each view: those in Postgres, without ``box``, a type that only Postgres has."""


def _run(duckdb: Any, connection: Any, query: ArchiveQuery) -> QueryResult:
    timer = threading.Timer(query.timeout_seconds, connection.interrupt)
    timer.start()
    try:
        result = connection.sql(query.sql)
        columns = tuple(result.columns)
        if duckdb.sqltypes.INTERVAL in result.types:  # Python has no months
            result = result.project(
                ", ".join(
                    f"CAST(#{place} AS VARCHAR)"
                    if kind == duckdb.sqltypes.INTERVAL
                    else f"#{place}"
                    for place, kind in enumerate(result.types, 1)
                )
            )
        rows: list[tuple[Any, ...]] = []
        for batch in result.to_arrow_reader(10_000):
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            if len(rows) > query.row_limit:
                break
    except duckdb.InterruptException as error:
        raise QueryError(
            f"the query took longer than {query.timeout_seconds:g} seconds: narrow it, also with "
            "--since and --until, or set --timeout-seconds"
        ) from error
    except duckdb.Error as error:
        if "'archived'" in str(error):  # the name under which its files were registered
            raise ConfigurationError(
                f"a file of the archive can't be read: {error}. Restore the archive's files from a "
                "backup or older versions of the objects"
            ) from error
        raise QueryError(str(error)) from error
    except MemoryError as error:
        raise QueryError("the query needs too much memory") from error
    finally:
        timer.cancel()
    return QueryResult(columns, rows[: query.row_limit], truncated=len(rows) > query.row_limit)


def _file_system(archive: Archive, files: dict[str, ArchivedFile]) -> Any:
    """Return the published files as a file system for Arrow, which can only read."""
    import pyarrow as pa
    from pyarrow import fs

    class Published(fs.FileSystemHandler):  # type: ignore[misc]
        """Opens the archive's files."""

        def get_type_name(self) -> str:
            return "archive"

        def normalize_path(self, path: str) -> str:
            return path

        def get_file_info(self, paths: list[str]) -> list[Any]:
            return [fs.FileInfo(path, fs.FileType.File, size=files[path].bytes) for path in paths]

        def open_input_file(self, path: str) -> Any:
            return pa.PythonFile(stored(archive, files[path]), mode="r")

        def open_input_stream(self, path: str) -> Any:
            return self.open_input_file(path)

        def _refuse(self, *arguments: Any, **options: Any) -> Any:
            del arguments, options
            raise NotImplementedError("an archive is only read")

        get_file_info_selector = create_dir = delete_dir = delete_dir_contents = _refuse
        delete_root_dir_contents = delete_file = move = copy_file = _refuse
        open_output_stream = open_append_stream = _refuse

    return fs.PyFileSystem(Published())
