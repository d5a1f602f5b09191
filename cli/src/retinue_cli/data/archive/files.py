"""Write and read an archive's Parquet files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from uuid import UUID

from retinue_history.upkeep.archiving import ARCHIVED_COLUMNS
from retinue_sdk import ConfigurationError

from retinue_cli.data.archive.archive import Archive, damaged
from retinue_cli.data.archive.manifest import ArchivedFile, new_name
from retinue_cli.data.archive.place import StoredFile
from retinue_cli.data.file_hash import sha256_of

ROWS_PER_GROUP = 131_072
"""Number of rows in a row group, which is held in memory. Queries skip groups by label and time."""

MAX_ROWS = 4_000_000
"""Maximum number of rows in a file. ``retinue forget`` rewrites whole files."""

BATCH_ROWS = 65_536

_WHOLE = ("detection_id", "run_id")
_SHORT = ("ordinal", "width_px", "height_px", "start_ms", "end_ms", "track")
_REAL = ("confidence", "box_left", "box_top", "box_width", "box_height")
_TIME = ("detected_at", "uploaded_at", "deleted_at")
_UNIQUE = ("image_id", "key", "version")


def schema() -> Any:
    """Return the type of each column. ``attributes`` is JSON, and ``image_id`` is text.

    Raises:
        ConfigurationError: pyarrow isn't installed.
    """
    pa = pyarrow()
    types = {
        **dict.fromkeys(_WHOLE, pa.int64()),
        **dict.fromkeys(_SHORT, pa.int32()),
        **dict.fromkeys(_REAL, pa.float64()),
        **dict.fromkeys(_TIME, pa.timestamp("us", tz="UTC")),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in ARCHIVED_COLUMNS])


def pyarrow() -> Any:
    """Return the module.

    Raises:
        ConfigurationError: It isn't installed.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError(
            f"an archive needs the package pyarrow: `pip install 'retinue-cli[archive]'` ({error})"
        ) from error
    return pa


class FileWriter:
    """Writes the sorted rows of one detector's month into files of an archive.

    A context manager, at whose end the last file is stored. The files aren't published. After an
    exception, ``Archive.repair`` deletes those that were stored. Memory holds one row group, and
    the disk one file.

    Args:
        archive: The archive.
        detector: The detector's name.
        month: The month, as ``2026-01``.
        attempt: Identifies the copy.
    """

    def __init__(self, archive: Archive, detector: str, month: str, attempt: UUID) -> None:
        self._archive = archive
        self._detector = detector
        self._month = month
        self._attempt = attempt
        self._name = new_name(detector, month)
        self._folder = TemporaryDirectory(prefix="retinue-archive-")
        self._path = Path(self._folder.name, "rows.parquet")
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self._rows = 0
        self.files: list[ArchivedFile] = []
        """The files that were stored."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._folder:
            if kind is None:
                self._finish()
            elif self._writer is not None:
                self._writer.close()

    def write(self, batch: Any) -> None:
        """Write a record batch."""
        while batch.num_rows:
            part = batch.slice(0, ROWS_PER_GROUP - self._waiting_rows)
            batch = batch.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            if self._waiting_rows == ROWS_PER_GROUP:
                self._write_group()
            if self._rows >= MAX_ROWS:
                self._store()

    def _finish(self) -> None:
        if self._waiting_rows:
            self._write_group()
        if self._rows:
            self._store()

    def _write_group(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if self._writer is None:
            self._writer = parquet.ParquetWriter(
                str(self._path),
                schema(),
                compression="zstd",
                # Most values of these columns differ, so a dictionary would be larger than they.
                use_dictionary=[
                    name for name in ARCHIVED_COLUMNS if name not in (*_WHOLE, *_TIME, *_UNIQUE)
                ],
                column_encoding=dict.fromkeys((*_WHOLE, *_TIME), "DELTA_BINARY_PACKED"),
                write_page_checksum=True,
                sorting_columns=[
                    parquet.SortingColumn(ARCHIVED_COLUMNS.index("label")),
                    parquet.SortingColumn(ARCHIVED_COLUMNS.index("detected_at")),
                ],
            )
        table = pa.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        self._rows += table.num_rows
        self._waiting, self._waiting_rows = [], 0

    def _store(self) -> None:
        self._writer.close()
        self._writer = None
        self._archive.place.add(self._name, self._path)
        self.files.append(
            ArchivedFile(
                name=self._name,
                detector=self._detector,
                month=self._month,
                rows=self._rows,
                bytes=self._path.stat().st_size,
                sha256=sha256_of(self._path),
                attempt=self._attempt,
            )
        )
        self._path.unlink()
        self._name = new_name(self._detector, self._month)
        self._rows = 0


def stored(archive: Archive, file: ArchivedFile) -> StoredFile:
    """Return a published file to read."""
    return StoredFile(archive.place, file.name, file.bytes)


def batches(archive: Archive, file: ArchivedFile, columns: list[str]) -> Iterator[Any]:
    """Yield some columns of a published file, batch by batch.

    Raises:
        ConfigurationError: The file is missing, isn't as it was written, or has other columns.
    """
    pa = pyarrow()
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(
            pa.PythonFile(stored(archive, file), mode="r"),
            page_checksum_verification=True,
            pre_buffer=True,
        )
        if not opened.schema_arrow.equals(schema()):
            raise ConfigurationError(
                damaged(archive.place, file, "has other columns than the files of an archive")
            )
        yield from opened.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(
            damaged(archive.place, file, f"can't be read ({error})")
        ) from error


def local_batches(path: Path) -> Iterator[Any]:
    """Yield all columns of a local file, batch by batch."""
    from pyarrow import parquet

    with parquet.ParquetFile(str(path)) as opened:
        yield from opened.iter_batches(BATCH_ROWS, use_threads=False)


@contextmanager
def verified_copy(archive: Archive, file: ArchivedFile) -> Iterator[Path]:
    """Yield the path of a local copy of a published file, whose digest was checked.

    Raises:
        ConfigurationError: The file is missing, or isn't as it was written.
    """
    with TemporaryDirectory(prefix="retinue-archive-") as folder:
        path = Path(folder, "file.parquet")
        with path.open("wb") as copy:
            source = stored(archive, file)
            while block := source.read(2**23):
                copy.write(block)
        if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
            raise ConfigurationError(damaged(archive.place, file, "isn't as it was written"))
        yield path
