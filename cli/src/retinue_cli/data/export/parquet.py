"""Export detections as Parquet."""

from collections.abc import Iterable
from io import BytesIO
from itertools import islice
from typing import Any, BinaryIO

from psycopg import sql
from psycopg.abc import Buffer
from retinue_history.analysis.exported_rows import DETECTION_COLUMNS, detection_rows
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import ConfigurationError

from retinue_cli.data.export.outcome import Advance, Written

ROWS_PER_GROUP = 65_536
"""Number of rows in a row group, which is held in memory: about 25 MB of CSV."""


def write_parquet(
    snapshot: Snapshot, selection: Selection, file: BinaryIO, advance: Advance
) -> Written:
    """Write one row per detection, in row groups of ``ROWS_PER_GROUP``.

    ``attributes`` is JSON text, ``image_id`` is text, and times are microseconds in UTC.

    Raises:
        ConfigurationError: pyarrow isn't installed.
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError(
            f"Parquet needs the package pyarrow: `pip install pyarrow` ({error})"
        ) from error
    schema = _schema(pa)
    # Postgres writes CSV and Arrow reads it, both in C, much faster than rows in Python.
    blocks = snapshot.copy(detection_rows(selection), sql.SQL("FORMAT csv"))
    written = Written()
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(blocks, ROWS_PER_GROUP)):
            writer.write_table(csv_table(schema, group))
            written.detections += len(group)
            advance(len(group))
    return written


def _schema(pa: Any) -> Any:
    """Return the type of each column."""
    text = pa.string()
    whole = {"detection_id": pa.int64(), "run_id": pa.int64()}
    types = {
        **whole,
        **dict.fromkeys(
            ("width_px", "height_px", "ordinal", "start_ms", "end_ms", "track"), pa.int32()
        ),
        **dict.fromkeys(
            ("confidence", "box_left", "box_top", "box_width", "box_height"), pa.float64()
        ),
        **dict.fromkeys(("detected_at", "uploaded_at", "deleted_at"), pa.timestamp("us", tz="UTC")),
    }
    return pa.schema([(name, types.get(name, text)) for name in DETECTION_COLUMNS])


def csv_table(schema: Any, lines: Iterable[Buffer]) -> Any:
    """Return lines of Postgres' CSV as a table."""
    from pyarrow import csv

    return csv.read_csv(
        BytesIO(b"".join(lines)),
        read_options=csv.ReadOptions(column_names=schema.names, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,  # "" is an empty text, an empty field is null
        ),
    )
