"""A command's options with a time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

MEANING = "2026-01-31, 2026-01-31T12:00+01:00, or an age: 30m, 24h, 7d, 2w"
"""The accepted forms, for help texts."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_timestamp(text: str) -> datetime:
    """Parse a time: ISO 8601, or how long ago, such as ``7d`` or ``7d ago``.

    Raises:
        ValueError: It isn't one.
    """
    ago = re.fullmatch(r"(\d{1,9})\s*([mhdw])(?:\s+ago)?", text.strip(), re.ASCII)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time: write {MEANING}") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


class Timestamp(click.ParamType[datetime]):
    """A point in time: ISO 8601, or how long ago, such as ``7d`` or ``7d ago``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it; a time without a zone is in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = parse_timestamp(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if ctx is not None and param is not None:
            given = ctx.params | {param.name: moment}
            since, until = given.get("since"), given.get("until")
            if since is not None and until is not None and since >= until:
                self.fail("--since must be before --until", param, ctx)
        return moment


SINCE = click.option("--since", type=Timestamp(), help=f"Only runs since this time: {MEANING}.")
UNTIL = click.option(
    "--until", type=Timestamp(), help="Only runs before this time; format as --since."
)
