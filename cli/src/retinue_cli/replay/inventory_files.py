"""Read the files of an S3 Inventory report in its three formats, row by row.

CSV has other column names than ORC and Parquet. Here they have the names of ORC and Parquet.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote_plus

from retinue_sdk import ConfigurationError

CSV_COLUMNS = {
    "Bucket": "bucket",
    "Key": "key",
    "VersionId": "version_id",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
    "Size": "size",
    "LastModifiedDate": "last_modified_date",
    "ETag": "e_tag",
    "StorageClass": "storage_class",
}
"""The columns that are used, with the names of a CSV report's ``fileSchema``."""

NEEDED = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag")
"""Columns that are necessary to identify an image."""

ROWS_AT_ONCE = 4_096
"""Number of rows of a Parquet file in memory."""

Row = Mapping[str, Any]
"""A row by column: texts, numbers, booleans and aware times."""


class InventoryRows(Protocol):
    """Reads one format."""

    def __call__(self, file: BinaryIO) -> Iterator[Row]:
        """Yield the rows of a file, in its order.

        Raises:
            OSError, EOFError, ValueError, csv.Error: It is corrupt.
        """


def reader(form: str, schema: str) -> InventoryRows:
    """Return a reader for the files of a report.

    Args:
        form: The manifest's ``fileFormat``.
        schema: Its ``fileSchema``.

    Raises:
        ConfigurationError: A column is missing, the format is unknown, or pyarrow isn't installed.
    """
    if form == "CSV":
        columns = [name.strip() for name in schema.split(",")]
        _refuse_missing([name for name in NEEDED if name not in columns])
        return lambda file: _csv(file, columns)
    if form not in ("Parquet", "ORC"):
        raise ConfigurationError(f"the inventory's format is {form!r}; it can be CSV, ORC, Parquet")
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"an inventory in {form} needs the extra `parquet`: install retinue-cli[parquet], "
            f"or configure the inventory with the format CSV ({error})"
        ) from error
    return _parquet if form == "Parquet" else _orc


def _csv(file: BinaryIO, columns: Sequence[str]) -> Iterator[Row]:
    with gzip.open(file, "rb") as unpacked:
        for line in csv.reader(io.TextIOWrapper(unpacked, "utf-8", newline="")):
            told = dict(zip(columns, line, strict=False))
            row: dict[str, Any] = {
                name: told[column] for column, name in CSV_COLUMNS.items() if column in told
            }
            row["key"] = unquote_plus(row["key"])  # only CSV has form-encoded keys
            row["size"] = int(row["size"] or 0)
            row["last_modified_date"] = datetime.fromisoformat(row["last_modified_date"])
            row["is_latest"] = row.get("is_latest", "true") != "false"
            row["is_delete_marker"] = row.get("is_delete_marker") == "true"
            yield row


def _parquet(file: BinaryIO) -> Iterator[Row]:
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)
    columns = _present(opened.schema_arrow.names)
    for batch in opened.iter_batches(ROWS_AT_ONCE, columns=columns):
        yield from _rows(batch)


def _orc(file: BinaryIO) -> Iterator[Row]:
    from pyarrow import orc

    opened = orc.ORCFile(file)
    columns = _present(opened.schema.names)
    for number in range(opened.nstripes):
        yield from _rows(opened.read_stripe(number, columns=columns))


def _rows(batch: Any) -> Iterator[Row]:
    """Yield Arrow's rows. Times have milliseconds, in UTC with or without a zone."""
    import pyarrow as pa

    place = batch.schema.get_field_index("last_modified_date")
    times = batch.column(place).cast(pa.timestamp("ms", "UTC"), safe=False)
    for row, time in zip(_dicts(batch), times, strict=True):
        moment = time.as_py()
        yield row | {
            "last_modified_date": None if moment is None else moment.astimezone(UTC),
            "is_latest": row.get("is_latest") is not False,
            "is_delete_marker": row.get("is_delete_marker") is True,
            "size": row.get("size") or 0,
        }


def _dicts(batch: Any) -> list[dict[str, Any]]:
    rest = [name for name in batch.schema.names if name != "last_modified_date"]
    rows: list[dict[str, Any]] = batch.select(rest).to_pylist()
    return rows


def _present(names: Sequence[str]) -> list[str]:
    """Return the used columns that exist."""
    _refuse_missing([column for column in NEEDED if CSV_COLUMNS[column] not in names])
    return [name for name in CSV_COLUMNS.values() if name in names]


def _refuse_missing(columns: Sequence[str]) -> None:
    if columns:
        raise ConfigurationError(
            f"the inventory lacks {', '.join(columns)}: configure it with these fields"
        )
