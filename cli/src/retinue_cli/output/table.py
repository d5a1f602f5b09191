"""The rows of an answer, for people and for programs."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "csv", "json", "chart"]

READABLE_CELLS = 16
"""How narrow a column may be folded, in characters: a label, or half an image id, still reads."""

PADDING_CELLS = 3
"""What a column takes beside its text: a space on each side, and one between columns."""


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], format_: Format = "table"
) -> None:
    """Print rows on standard output.

    Args:
        columns: Their names.
        rows: Their values, as psycopg gives them.
        format_: A table says how many rows there are. In a terminal too narrow for every column to
            stay readable, it is a block for each row, with a line for each column; a pipe has no
            width, and what a program will read is one line a row, never folded.

    Raises:
        ConfigurationError: They make no chart.
    """
    match format_:
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_csv_cell(value) for value in row] for row in rows)
        case "json":
            objects = [dict(zip(columns, row, strict=True)) for row in rows]
            click.echo(json.dumps(objects, default=_json_value, ensure_ascii=False, indent=2))
        case "chart":
            from retinue_cli.output.chart import print_chart

            print_chart(columns, rows)
        case "table":
            _print_for_people(columns, rows)


def _print_for_people(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.console import Console

    cells = [[_cell(value) for value in row] for row in rows]
    widths = _widths(columns, cells)
    readable = [min(READABLE_CELLS, width) for width in widths]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=sum(widths) + PADDING_CELLS * (len(widths) + 1))
    if rows and sum(readable) + PADDING_CELLS * len(readable) > console.width:
        _print_blocks(console, columns, cells)
    else:
        numeric = [bool(rows) and _is_numeric(number, rows) for number in range(len(columns))]
        _print_table(console, columns, cells, readable, numeric)
    console.print(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}")


def _print_table(
    console: "Console",
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    readable: Sequence[int],
    numeric: Sequence[bool],
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name, least, right in zip(columns, readable, numeric, strict=True):
        table.add_column(
            Text(name), justify="right" if right else "left", overflow="fold", min_width=least
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_blocks(
    console: "Console", columns: Sequence[str], cells: Sequence[Sequence[str]]
) -> None:
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    for number, row in enumerate(cells, 1):
        console.print(Rule(f"row {number:,}", align="left", style="dim"))
        block = Table.grid(padding=(0, 2))
        block.add_column(style="bold")
        block.add_column(overflow="fold")
        for name, cell in zip(columns, row, strict=True):
            block.add_row(Text(name), Text(cell))
        console.print(block)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """The widest of each column's cells and its name, in characters of a terminal."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]


def _is_numeric(number: int, rows: Sequence[Sequence[Any]]) -> bool:
    return all(isinstance(row[number], int | float | Decimal | None) for row in rows)


def _cell(value: Any) -> str:
    """A value for people: short where that loses nothing that matters."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
        case Decimal() if value.is_finite():
            return _decimal(value)
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case dict() | list():
            return json.dumps(value, default=_json_value, ensure_ascii=False)
        case _:
            return str(value)


def _decimal(value: Decimal) -> str:
    """What was stored, as it was given; of a division, which has some twenty places, a few."""
    if int(value.as_tuple().exponent) >= -12:
        return f"{value:f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{float(value):.4g}"


def _csv_cell(value: Any) -> Any:
    """A value for programs: JSON as JSON, and everything else in full."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=_json_value, ensure_ascii=False)
    return value


def _json_value(value: Any) -> Any:
    """What JSON has no type for: exact numbers and everything else as text."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
