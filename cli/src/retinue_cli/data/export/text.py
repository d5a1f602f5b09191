"""Export detections as CSV and JSON lines, which Postgres writes."""

from typing import BinaryIO

from psycopg import sql
from retinue_history.analysis.exported_rows import detection_rows
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot

from retinue_cli.data.export.outcome import Advance, Written


def write_csv(
    snapshot: Snapshot, selection: Selection, file: BinaryIO, advance: Advance
) -> Written:
    """Write a header and one line per detection. Null is empty; ``""`` is an empty text.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    blocks = snapshot.copy(detection_rows(selection), sql.SQL("FORMAT csv, HEADER"))
    file.write(next(blocks))
    written = Written()
    for block in blocks:
        file.write(block)
        written.detections += 1
        advance(1)
    return written


def write_jsonl(
    snapshot: Snapshot, selection: Selection, file: BinaryIO, advance: Advance
) -> Written:
    """Write one JSON object per detection.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    rows = sql.SQL("SELECT row_to_json(selected) FROM ({}) AS selected").format(
        detection_rows(selection)
    )
    # CSV of one column, with a quote and a delimiter that can't occur, because JSON escapes both.
    # The text format would double every backslash.
    plain = sql.SQL(r"FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02'")
    written = Written()
    for block in snapshot.copy(rows, plain):
        file.write(block)
        written.detections += 1
        advance(1)
    return written
