"""``retinue query``."""

from typing import get_args

import click
from retinue_history.analysis.query import run_query
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.output.table import Format, print_rows


@click.command(short_help="Ask the detection history in SQL.")
@click.argument("sql")
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=1_000, show_default=True, help="Most rows."
)
def query(sql: str, format_: Format, limit: int) -> None:
    """Ask the detection history a question in SQL.

    One statement, on a connection that can only read. The views to ask are detection_history,
    latest_detections, failed_runs and run_costs; docs/schema.md describes them. For example:

    retinue query "select label, count(*) from latest_detections group by 1 order by 2 desc"

    In a terminal too narrow for a table, each row is printed below the one before it. A chart has
    one bar a row: the first column of numbers, named by the columns before it.
    """
    with reader_url(Settings.load()) as url:
        result = run_query(url, sql, row_limit=limit)
    print_rows(result.columns, result.rows, format_)
    if result.truncated:
        click.echo(f"only the first {limit:,} rows are shown; --limit shows more", err=True)
