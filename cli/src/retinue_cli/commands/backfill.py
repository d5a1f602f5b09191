"""``retinue backfill``."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import click
from retinue_history.analysis.existing_runs import ExistingRuns
from retinue_sdk import S3Uri
from retinue_workers.settings.settings import Settings, prices_of

from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.s3_uri_type import S3UriType
from retinue_cli.output import words
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.replay.backfill import Backfill, Count, Estimate

STATE = Path(".retinue")
"""The folder of a backfill's position: the current folder."""


@click.command(short_help="Process images that are already in a bucket.")
@click.argument("uri", type=S3UriType(), metavar="S3_URI")
@click.option(
    "--inventory",
    type=S3UriType(),
    help="List images from this manifest.json of S3 Inventory instead of the bucket.",
)
@click.option("--all-files", is_flag=True, help="Include keys without an image extension.")
@click.option("--again", is_flag=True, help="Include images that have runs.")
@click.option(
    "--per-second", type=click.FloatRange(0, min_open=True), help="Maximum messages a second."
)
@click.option("--restart", is_flag=True, help="Start over, even if it was interrupted before.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Only count and estimate.")
@json_flag
def backfill(
    uri: S3Uri,
    *,
    inventory: S3Uri | None,
    all_files: bool,
    again: bool,
    per_second: float | None,
    restart: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the images under s3://bucket/prefix to the detectors, as if they had just been uploaded.

    First counts the images and estimates how long the detectors of RETINUE_DETECTORS take and what
    they cost. Then sends a message for each image to the queue of RETINUE_QUEUE_URL. Run it again
    to continue after an interruption.
    """
    from retinue_aws import AwsClient
    from retinue_workers.intake.clients import make_clients

    from retinue_cli.replay.checkpoint import Checkpoint
    from retinue_cli.replay.inventory import Inventory
    from retinue_cli.replay.listing import Bucket, KeyFilter, Source
    from retinue_cli.replay.sender import CONCURRENCY, Sender

    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask for confirmation: add --yes or --dry-run")
    settings = Settings.load()
    queue_url = settings.require_queue_url()
    clients = make_clients(connections=CONCURRENCY)
    chosen = KeyFilter(all_files)
    source: Source
    if inventory is None:
        source = Bucket(clients.s3(), uri.bucket, uri.key, chosen)
    else:
        source = Inventory(clients.s3(), inventory.bucket, inventory.key, uri.key, chosen)
    checkpoint = Checkpoint.of(STATE, str(uri), str(inventory), queue_url, all_files, again)
    if restart:
        checkpoint.clear()
    elif checkpoint.position is not None:
        click.echo(f"continues after {checkpoint.sent:,} sent messages; --restart starts over")
    with _known(settings, again=again) as known:
        filling = Backfill(source, known, checkpoint)
        count = Count()
        with progress("objects listed") as advance:
            for number in filling.count(count):
                advance(number)
        estimate = _estimate(settings, count.images, per_second)
        if not as_json:
            _print_count(uri, count, estimate)
        sent = 0
        if dry_run or not count.images:
            if as_json:
                _print_json(uri, count, estimate, sent)
            return
        if not yes:
            about = words.count(count.images, "message")
            click.confirm(f"send {about} to {queue_url}?", abort=True)
        with (
            Sender(AwsClient(clients.sqs), queue_url, per_second=per_second) as sender,
            progress("messages sent", count.images) as advance,
        ):
            for number in filling.send(sender):
                sent += number
                advance(number)
    if as_json:
        _print_json(uri, count, estimate, sent)
    else:
        click.echo(f"sent {words.count(sent, 'message')}")


def _print_json(uri: S3Uri, count: Count, estimate: Estimate, sent: int) -> None:
    print_json(
        {
            "uri": str(uri),
            "images": count.images,
            "size_bytes": count.size_bytes,
            "left_out": {reason: number for reason, number in count.left_out.items() if number},
            "seconds": estimate.seconds,
            "usd": estimate.usd,
            "sent": sent,
        }
    )


@contextmanager
def _known(settings: Settings, *, again: bool) -> Iterator[Callable[[list[UUID]], set[UUID]]]:
    """Open a function that asks the history which images have runs."""
    if again:
        yield _nothing
        return
    with reader_url(settings) as url, closing(ExistingRuns(url)) as known:
        yield known.among


def _nothing(image_ids: list[UUID]) -> set[UUID]:
    del image_ids
    return set()


def _estimate(settings: Settings, images: int, per_second: float | None) -> Estimate:
    """Return the detectors' time and cost, from their own rate and price. Don't start them.

    Assumes one call and one unit per image, and no earlier units in the month.
    """
    from retinue_sdk.plugins.manager import Plugins, plugin_errors

    known = [] if per_second is None else [per_second]
    usd = Decimal(0)
    for each in Plugins(folder=settings.plugins_dir).make(settings.detectors):
        with plugin_errors(each):
            its = each.capabilities
        if its.requests_per_second is not None:
            known.append(its.requests_per_second)
        if its.quotas:
            known.append(max(its.quotas.values()))
        for price in prices_of(each.name, its, settings.prices.get(each.name)):
            usd += price.usd(Decimal(images)) / max(images, 1)
    return Estimate.of(images, per_second=min(known, default=None), usd_per_image=usd)


def _print_count(uri: S3Uri, count: Count, estimate: Estimate) -> None:
    click.echo(
        f"{uri}: {words.count(count.images, 'image')} to ask for, {count.size_bytes / 1e9:,.2f} GB"
    )
    for reason, number in count.left_out.most_common():
        if number:
            click.echo(f"  left out: {number:,} {reason}")
    if estimate.seconds is None:
        click.echo("  the time can't be estimated: no detector declares a rate")
    else:
        hours = estimate.seconds / 3_600
        short = timedelta(seconds=round(estimate.seconds))
        about = f"{hours:,.1f} hours" if hours >= 1 else str(short)
        click.echo(f"  takes at least {about}")
    click.echo(f"  detectors cost about ${estimate.usd:,.2f}, one billed unit an image")
