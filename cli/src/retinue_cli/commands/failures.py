"""``retinue failures``."""

from dataclasses import asdict
from typing import Any

import click
from retinue_history.analysis.failures import Cause, Failures, failure_causes
from retinue_history.db.snapshot import snapshot
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import is_unconfigured, reader_url
from retinue_cli.options.failure_options import failure_options
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.misspelt import misspelt
from retinue_cli.output.table import print_json, print_table
from retinue_cli.output.words import escaped
from retinue_cli.replay.dead_letters import DeadLetterCause, DeadLetters


@click.command(short_help="List failed runs and dead letters by cause.")
@failure_options
@click.option(
    "--look-at",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Maximum number of dead letters to read.",
)
@json_flag
def failures(*, look_at: int, as_json: bool, **selected: Any) -> None:
    """List failed runs by cause, and the messages in the dead-letter queue.

    Excludes failures that a later success of the same detector resolved, and deleted images.
    `retinue replay` accepts the same options and tries again.
    """
    settings = Settings.load()
    with reader_url(settings) as url:
        wanted = Failures(**selected)
        causes = failure_causes(url, wanted)
        if not causes and wanted.detector is not None:
            with snapshot(url) as history:
                for complaint in misspelt(history, detectors=[wanted.detector]):
                    click.echo(complaint, err=True)
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
        print_json(found)
        return
    _print_causes(causes)
    if is_unconfigured(settings):
        click.echo("no dead letters: the queue of `retinue run` ends with the run")
    elif waiting is None:
        click.echo("dead letters: set RETINUE_QUEUE_URL to list them")
    else:
        _print_letters(letters, waiting)


def _print_causes(causes: list[Cause]) -> None:
    if not causes:
        click.echo("no failed runs")
        return
    print_table(
        ("detector", "cause", "images", "attempts", "last", "example", "message"),
        [
            (
                cause.detector,
                cause.error_code,
                cause.images,
                cause.attempts,
                cause.last_at,
                cause.example,
                cause.message,
            )
            for cause in causes
        ],
    )


def _print_letters(letters: list[DeadLetterCause], waiting: int) -> None:
    if not letters:
        click.echo(f"dead letters: {waiting or 'none'}")
        return
    looked_at = sum(letter.messages for letter in letters)
    click.echo(
        f"dead letters: about {max(waiting, looked_at):,}; the first {looked_at:,} by reason"
    )
    for letter in letters:
        click.echo(f"  {letter.messages:>6,}  {escaped(letter.reason)}")
        click.echo(f"          such as {escaped(str(letter.example))}")
