"""``retinue query``."""

import sys
from datetime import datetime
from typing import get_args

import click
from retinue_history.analysis.query import DEFAULT_TIMEOUT_SECONDS, QueryResult, run_query
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.archive import archive_place
from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.timestamp import MEANING, Timestamp
from retinue_cli.output.progress import progress
from retinue_cli.output.table import Format, print_rows


@click.command(short_help="Query the detection history in SQL.")
@click.argument("sql")
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    help="How to print the rows.  [default: table]",
)
@json_flag
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="Maximum number of rows.",
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(min=0.001),
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    help="Time limit of the query.",
)
@click.option("--archive", is_flag=True, help="Query RETINUE_ARCHIVE too, in DuckDB's SQL.")
@click.option("--since", type=Timestamp(), help=f"With --archive: detections from {MEANING}.")
@click.option("--until", type=Timestamp(), help="With --archive: detections before this time.")
def query(
    sql: str,
    *,
    format_: Format | None,
    as_json: bool,
    limit: int,
    timeout_seconds: float,
    archive: bool,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Query the detection history in SQL.

    Runs one statement on a read-only connection; - reads it from standard input. `retinue schema`
    lists the views, and docs/recipes.md has examples, such as:

    \b
    retinue query \\
        "select label, count(*) from latest_detections group by 1 order by 2 desc"

    If the terminal is too narrow for a table, each row is printed as a block. A chart has one bar
    per row: its length is the first numeric column, its label the columns before it.

    With --archive, the query reads detection_history and latest_detections of the database and
    the archive. The database's detections since --since are copied first. See docs/archive.md.
    """  # noqa: D301 - click reads a backspace, not a backslash
    if as_json and format_ not in (None, "json"):
        raise click.UsageError(f"--json and --format {format_} exclude each other")
    if not archive and (since or until):
        raise click.UsageError("--since and --until need --archive; use detected_at in the query")
    if sql == "-":
        sql = sys.stdin.read()
    settings = Settings.load()
    with reader_url(settings) as url:
        if archive:
            result = _query_archive(settings, url, sql, since, until, limit, timeout_seconds)
        else:
            result = run_query(url, sql, row_limit=limit, timeout_seconds=timeout_seconds)
    print_rows(result.columns, result.rows, "json" if as_json else format_ or "table")
    if result.truncated:
        click.echo(f"only the first {limit:,} rows are shown; --limit shows more", err=True)


def _query_archive(
    settings: Settings,
    url: str,
    sql: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    timeout_seconds: float,
) -> QueryResult:
    from retinue_cli.data.archive.query import BEGINNING, END, ArchiveQuery, run_archive_query

    place = archive_place(settings)
    if place is None:
        raise ConfigurationError(
            "RETINUE_ARCHIVE is not set: give it the archive, s3://bucket/prefix or a folder"
        )
    asked = ArchiveQuery(sql, since or BEGINNING, until or END, limit, timeout_seconds)
    with progress("detections copied from Postgres") as advance:
        return run_archive_query(place, url, asked, advance)
