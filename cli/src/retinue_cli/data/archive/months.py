"""Copy months of detections from Postgres to an archive."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from psycopg import sql
from retinue_history.db.snapshot import Snapshot, snapshot
from retinue_history.upkeep.archiving import LeavingMonth, sorted_rows

from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.files import BATCH_ROWS, FileWriter, schema
from retinue_cli.data.archive.manifest import ArchivedFile
from retinue_cli.data.archive.place import Place
from retinue_cli.data.export.parquet import csv_table


class ArchiveDestination:
    """An archive to which ``maintain`` moves months.

    Args:
        place: Where the archive is. It is created if there is none.
        url: The database, as its owner.
        advance: Called with the number of further rows that were copied.
    """

    def __init__(self, place: Place, url: str, advance: Callable[[int], None]) -> None:
        self._place = place
        self._url = url
        self._advance = advance
        self._archive: Archive | None = None

    @property
    def name(self) -> str:
        """Return the place's name."""
        return self._place.name

    def prepare(self) -> None:
        """Check that the archive can be written, and delete files that aren't published."""
        self._archive = Archive.open_or_create(self._place)
        self._archive.repair()

    def copy(self, month: LeavingMonth) -> None:
        """Write a month to files, and replace those of the same attempt by them.

        Raises:
            ConfigurationError: The archive can't be written.
            HistoryUnavailableError: The database no longer answers.
        """
        archive = self._archive or Archive.open(self._place)
        with snapshot(self._url, "retinue maintain") as rows:
            written = _write(archive, rows, month, self._advance)
        earlier = [file for file in archive.files if file.attempt == month.attempt]
        archive.publish(written, earlier)


def _write(
    archive: Archive, rows: Snapshot, month: LeavingMonth, advance: Callable[[int], None]
) -> list[ArchivedFile]:
    """Write one detector after the other, as the rows are sorted."""
    written: list[ArchivedFile] = []
    parts = _by_detector(row_batches(rows, sorted_rows(month)))
    for detector, batches in groupby(parts, key=itemgetter(0)):
        with FileWriter(archive, detector, f"{month.starts:%Y-%m}", month.attempt) as writer:
            for _, batch in batches:
                writer.write(batch)
                advance(batch.num_rows)
        written += writer.files
    return written


def row_batches(rows: Snapshot, query: sql.Composed) -> Iterator[Any]:
    """Yield the rows of a query with the columns of the archive as record batches."""
    columns = schema()
    # Postgres writes CSV and Arrow reads it, both in C, much faster than rows in Python.
    lines = rows.copy(query, sql.SQL("FORMAT csv"))
    while group := list(islice(lines, BATCH_ROWS)):
        yield from csv_table(columns, group).to_batches()


def _by_detector(batches: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the consecutive parts of sorted batches that have one detector, with its name."""
    for batch in batches:
        names = batch.column("detector").to_pylist()
        start = 0
        for end in range(1, len(names) + 1):
            if end == len(names) or names[end] != names[start]:
                yield names[start], batch.slice(start, end - start)
                start = end
