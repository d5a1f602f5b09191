"""``retinue top``."""

import time
from dataclasses import asdict

import click
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.table import print_json


@click.command(short_help="Show a pool's queue, rate, failures and costs.")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds between updates.",
)
@click.option("--once", is_flag=True, help="Print once and exit. --json implies it.")
@json_flag
def top(*, every_seconds: float, once: bool, as_json: bool) -> None:
    """Show a pool's queue, rate, failures and costs until Ctrl-C.

    The queue is that of RETINUE_QUEUE_URL. The rest comes from the history, so it includes all
    workers. Imported annotations don't count.
    """
    from retinue_history import HistoryUnavailableError
    from retinue_history.analysis.activity import Activity, ActivityReader
    from retinue_workers.intake.clients import make_clients
    from retinue_workers.intake.errors import QueueUnavailableError
    from retinue_workers.intake.queue_depth import read_queue_depth
    from retinue_workers.work import QueueDepth
    from rich.console import Console, RenderableType
    from rich.live import Live

    from retinue_cli.output.top.view import WINDOW_SECONDS, View

    settings = Settings.load()
    url = settings.queue_url
    client = None if url is None else make_clients(connections=1).sqs
    console = Console(highlight=False)
    view = View(None if url is None else url.rpartition("/")[2])
    with reader_url(settings) as database_url:
        reader = ActivityReader(database_url)

        def read() -> tuple[QueueDepth | None, list[Activity], list[str]]:
            depth, activity, complaints = None, list[Activity](), []
            try:
                if client is not None and url is not None:
                    depth = read_queue_depth(client, url, with_dead_letters=True)
            except QueueUnavailableError as error:
                complaints.append(str(error))
            try:
                activity = reader.last(WINDOW_SECONDS)
            except HistoryUnavailableError as error:
                complaints.append(f"the history does not answer: {error}")
            return depth, activity, complaints

        def look() -> RenderableType:
            depth, activity, complaints = read()
            return view.draw(depth, activity, "\n".join(complaints))

        try:
            if as_json:
                depth, activity, complaints = read()
                print_json(
                    {
                        "queue": None if depth is None else asdict(depth),
                        "seconds": WINDOW_SECONDS,
                        "detectors": [asdict(each) for each in activity],
                        "complaints": complaints,
                    }
                )
                return
            if once:
                console.print(look())
                return
            with Live(look(), console=console, auto_refresh=False, screen=True) as live:
                while True:
                    time.sleep(every_seconds)
                    live.update(look(), refresh=True)
        finally:
            reader.close()
