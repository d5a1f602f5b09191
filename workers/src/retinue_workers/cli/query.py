"""``retinue query``."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import click
from retinue_history import QueryResult, run_query

from retinue_workers.cli.database import reader_url
from retinue_workers.settings import Settings

Format = Literal["table", "csv", "json", "chart"]


@click.command(short_help="Ask the detection history in SQL.")
@click.argument("sql")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json", "chart"]),
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

    A chart has one bar a row: the first column of numbers, named by the columns before it.
    """
    with reader_url(Settings.load()) as url:
        result = run_query(url, sql, row_limit=limit)
    _print(result, format_)
    if result.truncated:
        click.echo(f"only the first {limit:,} rows are shown; --limit shows more", err=True)


def _print(result: QueryResult, format_: Format) -> None:
    match format_:
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(result.columns)
            writer.writerows([_csv_cell(value) for value in row] for row in result.rows)
        case "json":
            rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
            click.echo(json.dumps(rows, default=_json_value, ensure_ascii=False, indent=2))
        case "chart":
            from retinue_workers.cli.chart import print_chart

            print_chart(result.columns, result.rows)
        case "table":
            _print_table(result.columns, result.rows)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        numeric = all(isinstance(row[number], int | float | Decimal | None) for row in rows)
        table.add_column(name, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console()
    if not console.is_terminal:  # a pipe has no width: never fold what a program will read
        console = Console(width=10_000)
    console.print(table)
    console.print(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}", highlight=False)


def _cell(value: Any) -> str:
    """A value for people: short where that loses nothing that matters."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case dict() | list():
            return json.dumps(value, default=_json_value, ensure_ascii=False)
        case _:
            return str(value)


def _csv_cell(value: Any) -> Any:
    """A value for programs: JSON as JSON, and everything else in full."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=_json_value, ensure_ascii=False)
    return value


def _json_value(value: Any) -> Any:
    """What JSON has no type for: exact numbers and everything else as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
