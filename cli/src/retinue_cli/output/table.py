"""Print rows as a table, CSV or JSON."""

import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import click
from retinue_sdk import ConfigurationError

from retinue_cli.output.terminal import data_output

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.measure import Measurement
    from rich.text import Text

Format = Literal["table", "csv", "json", "chart"]

READABLE_CELLS = 16
"""Minimum width of a folded column, in characters: a label or half an image id is readable."""

_PARTS = re.compile(r"[^\s/_-]*[\s/_-]*")
"""Where a name may be folded: after spaces and punctuation, but not at its suffix."""

PADDING_CELLS = 3
"""Width of a column without its text: a space on each side, and one between columns."""


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], format_: Format = "table"
) -> None:
    """Print rows on standard output.

    Args:
        columns: Their names.
        rows: Their values, as psycopg gives them.
        format_: A table ends with the number of rows. In a narrow terminal it has a block for each
            row, with a line for each column. A pipe has no width, so rows aren't folded.

    Raises:
        ConfigurationError: They can't be drawn as a chart, or two columns of JSON have one name.
    """
    match format_:
        case "csv":
            writer = csv.writer(data_output(sys.stdout), lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_csv_cell(value) for value in row] for row in rows)
        case "json":
            if repeated := [name for name, count in Counter(columns).items() if count > 1]:
                raise ConfigurationError(
                    f"several columns are named {repeated[0]}, and a JSON object has each name "
                    "once: name them with AS, or choose --format csv"
                )
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        case "chart":
            from retinue_cli.output.chart import print_chart

            print_chart(columns, rows)
        case "table":
            print_table(columns, rows)
            click.echo(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as a table, or as a block for each row if the lines are too short.

    Args:
        columns: Their names.
        rows: Their values; a ``rich.text.Text`` keeps its style.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = _widths(columns, cells)
    readable = [min(READABLE_CELLS, width) for width in widths]
    console = output_console(sum(widths) + PADDING_CELLS * (len(widths) + 1))
    if rows and sum(readable) + PADDING_CELLS * len(readable) > console.width:
        _print_blocks(console, columns, cells)
    else:
        numeric = [bool(rows) and _is_numeric(number, rows) for number in range(len(columns))]
        _print_table(console, columns, cells, readable, numeric)


def output_console(pipe_width: int = 10_000) -> "Console":
    """Return a console for standard output.

    Args:
        pipe_width: The line length if standard output isn't a terminal. By default lines aren't
            folded, unless the variable COLUMNS sets a length.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS", "").isdecimal():
        return console
    return Console(highlight=False, width=pipe_width)


class Name:
    """A name in a table. It is folded at spaces and punctuation, and in a word only if it must be.

    Args:
        name: The name, without control characters.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        """Return the widths of the longest part and of the name."""
        from rich.cells import cell_len
        from rich.measure import Measurement

        whole = cell_len(self._name)
        return Measurement(_longest_part(self._name), whole).with_maximum(options.max_width)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        """Yield the lines."""
        from rich.cells import cell_len, chop_cells
        from rich.text import Text

        line = ""
        for part in _PARTS.findall(self._name):
            if line and cell_len(line + part.rstrip()) > options.max_width:
                yield Text(line.rstrip())
                line = ""
            *full, line = chop_cells(line + part, options.max_width) or [""]
            yield from map(Text, full)
        yield Text(line)


class Examples:
    """A line of names in a table: as many as fit, or the end of the first.

    Args:
        names: The names, without control characters. At least one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        """Return the widths of one character and of all names."""
        from rich.cells import cell_len
        from rich.measure import Measurement

        return Measurement(1, cell_len(", ".join(self._names))).with_maximum(options.max_width)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        """Yield the line."""
        from rich.cells import cell_len, set_cell_size
        from rich.text import Text

        first, *others = self._names
        if cell_len(first) > options.max_width:
            first = f"…{set_cell_size(first[::-1], options.max_width - 1)[::-1].lstrip()}"
        line = first
        for name in others:
            if cell_len(f"{line}, {name}") > options.max_width:
                break
            line = f"{line}, {name}"
        yield Text(line, no_wrap=True)


def least_cells(texts: Iterable[str]) -> int:
    """Return the minimum width of a column of names, so that few words are folded."""
    return min(READABLE_CELLS, max(map(_longest_part, texts), default=0))


def _longest_part(text: str) -> int:
    from rich.cells import cell_len

    return max(cell_len(part.rstrip()) for part in _PARTS.findall(text))


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    said = _json(value, indent=2)
    # json leaves DEL and the control characters of 8 bits, which some terminals obey, too.
    click.echo(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", said))


def _print_table(
    console: "Console",
    columns: Sequence[str],
    cells: "Sequence[Sequence[Text]]",
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
        table.add_row(*row)
    console.print(table)


def _print_blocks(
    console: "Console", columns: Sequence[str], cells: "Sequence[Sequence[Text]]"
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
            block.add_row(Text(name), cell)
        console.print(block)


def _widths(columns: Sequence[str], cells: "Sequence[Sequence[Text]]") -> list[int]:
    """Return the maximum width of each column's cells and name, in terminal characters."""
    from rich.cells import cell_len

    widths = [cell_len(name) for name in columns]
    for row in cells:
        widths = [max(width, cell.cell_len) for width, cell in zip(widths, row, strict=True)]
    return widths


def _is_numeric(number: int, rows: Sequence[Sequence[Any]]) -> bool:
    return all(isinstance(row[number], int | float | Decimal | None) for row in rows)


def _cell(value: Any) -> "Text":
    """Return a formatted value, with control characters escaped."""
    from rich.text import Text

    return value if isinstance(value, Text) else Text(_shown(value))


def _shown(value: Any) -> str:
    """Return a value as text, shortened where no information is lost."""
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
            return _json(value)
        case bytes():
            return _bytes(value)
        case _:
            return str(value)


def _decimal(value: Decimal) -> str:
    """Return a number as it was stored, with few decimals if it is a quotient."""
    if int(value.as_tuple().exponent) >= -12:
        return f"{value:f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{float(value):.4g}"


def _csv_cell(value: Any) -> Any:
    """Return a value for programs: JSON as JSON, and everything else in full."""
    if isinstance(value, dict | list):
        return _json(value)
    return _bytes(value) if isinstance(value, bytes) else value


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(
        _finite(value), default=_json_value, allow_nan=False, ensure_ascii=False, indent=indent
    )


def _finite(value: Any) -> Any:
    """Return a value with the numbers that JSON doesn't have as text, as Postgres writes them."""
    match value:
        case float() if not isfinite(value):
            return str(Decimal(value))
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _bytes(value: bytes) -> str:
    """Return bytes as Postgres writes them."""
    return f"\\x{value.hex()}"


def _json_value(value: Any) -> Any:
    """Return a value that JSON has no type for: exact numbers and everything else as text."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return _bytes(value)
    return str(value)
