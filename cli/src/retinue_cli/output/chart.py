"""Draw a chart in the terminal, with one bar per row."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from retinue_sdk import ConfigurationError

from retinue_cli.output.words import escaped

MAX_BARS = 60
"""Maximum number of bars. More need a LIMIT or a GROUP BY."""


def print_chart(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Draw the first numeric column, with the columns before it as labels.

    Raises:
        ConfigurationError: No column is numeric, or there are too many rows for a chart.
    """
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if len(rows) > MAX_BARS:
        raise ConfigurationError(
            f"{len(rows):,} rows are too many for a chart; {MAX_BARS} fit: group them, or add LIMIT"
        )
    if not rows:
        print("0 rows")  # noqa: T201 - as the table says it
        return
    place = _numbers(columns, rows)
    values = [float(row[place] or 0) for row in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(max_width=40, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(
        Text(" ".join(columns[:place]), style="bold"), Text(columns[place], style="bold"), ""
    )
    for row, value in zip(rows, values, strict=True):
        begin, end = sorted((-low, value - low))
        table.add_row(
            Text(" ".join(_name(cell) for cell in row[:place])),
            "" if row[place] is None else f"{row[place]:,.6g}",
            Bar(high - low or 1.0, begin, end, color="red" if value < 0 else "cyan"),
        )
    Console(highlight=False).print(table)


def _numbers(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    for place in range(1, len(columns)):
        cells = [row[place] for row in rows]
        if all(_is_number(cell) for cell in cells) and any(cell is not None for cell in cells):
            return place
    raise ConfigurationError(
        "a chart needs a name or a time and then a number, such as: "
        "select label, count(*) from latest_detections group by 1 order by 2 desc"
    )


def _is_number(cell: object) -> bool:
    if cell is None:
        return True
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return False
    return abs(float(cell)) < float("inf")  # neither infinite nor NaN


def _name(cell: Any) -> str:
    match cell:
        case None:
            return "–"
        case datetime():
            return cell.isoformat(sep=" ", timespec="minutes")
        case date():
            return cell.isoformat()
        case float():
            return f"{cell:.4g}"
        case _:
            return escaped(str(cell))
