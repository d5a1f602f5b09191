"""``retinue failures``."""

import json
from dataclasses import asdict
from typing import Any

import click
from retinue_history.analysis.failures import Cause, Failures, failure_causes
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.failure_options import failure_options
from retinue_cli.replay.dead_letters import DeadLetterCause, DeadLetters


@click.command(short_help="List failed runs and dead letters by cause.")
@failure_options
@click.option(
    "--look-at",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="How many dead letters to look at.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def failures(*, look_at: int, as_json: bool, **selected: Any) -> None:
    """Tell which runs failed, by cause, and what lies in the dead-letter queue.

    Failures that a later success of the same detector made up for are left out, and so are images
    that were deleted since. `retinue replay` takes the same options and tries again.
    """
    settings = Settings.load()
    with reader_url(settings) as url:
        causes = failure_causes(url, Failures(**selected))
    letters: list[DeadLetterCause] = []
    waiting = None
    if settings.queue_url is not None:
        from retinue_workers.intake.clients import make_clients

        dead = DeadLetters(make_clients(connections=1).sqs, settings.queue_url)
        waiting = dead.count()
        letters = dead.causes(look_at) if look_at else []
    if as_json:
        found = {
            "failed_runs": [asdict(cause) for cause in causes],
            "dead_letters": [asdict(letter) for letter in letters],
            "dead_letter_count": waiting,
        }
        click.echo(json.dumps(found, default=str, ensure_ascii=False, indent=2))
        return
    _print_causes(causes)
    if waiting is None:
        click.echo("dead letters: set RETINUE_QUEUE_URL to look at them")
    else:
        _print_letters(letters, waiting)


def _print_causes(causes: list[Cause]) -> None:
    if not causes:
        click.echo("no failed runs")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("detector", "cause"):
        table.add_column(name, overflow="fold")
    for name in ("images", "attempts"):
        table.add_column(name, justify="right")
    for name in ("last", "example", "message"):
        table.add_column(name, overflow="fold")
    for cause in causes:
        table.add_row(
            Text(cause.detector),
            Text(cause.error_code),
            f"{cause.images:,}",
            f"{cause.attempts:,}",
            cause.last_at.isoformat(sep=" ", timespec="seconds"),
            Text(cause.example),
            Text(cause.message),
        )
    console = Console()
    if not console.is_terminal:  # a pipe has no width: never fold what a program will read
        console = Console(width=10_000)
    console.print(table)


def _print_letters(letters: list[DeadLetterCause], waiting: int) -> None:
    if not letters:
        click.echo(f"dead letters: {waiting or 'none'}")
        return
    looked_at = sum(letter.messages for letter in letters)
    click.echo(f"dead letters: about {max(waiting, looked_at):,}; of {looked_at:,} looked at")
    for letter in letters:
        click.echo(f"  {letter.messages:>6,}  {letter.reason}")
        click.echo(f"          such as {letter.example}")
