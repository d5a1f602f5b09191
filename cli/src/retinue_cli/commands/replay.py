"""``retinue replay``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.failures import (
    Failures,
    ReplayImage,
    failed_images,
    failure_causes,
    missing_images,
)
from retinue_sdk import ConfigurationError, ImageReference
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.failure_options import failure_options
from retinue_cli.output.progress import progress

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@click.command(short_help="Detect again where runs failed or are missing.")
@failure_options
@click.option(
    "--missing",
    is_flag=True,
    help="Instead of failed runs: images that the detectors of RETINUE_DETECTORS, as they are set "
    "now, are not done with.",
)
@click.option(
    "--dead-letters", is_flag=True, help="Instead of failed runs: what is in the dead-letter queue."
)
@click.option(
    "--per-second", type=click.FloatRange(0, min_open=True), help="Most messages a second."
)
@click.option("--yes", is_flag=True, help="Do it; without, it is only said what would be done.")
def replay(
    *, missing: bool, dead_letters: bool, per_second: float | None, yes: bool, **selected: Any
) -> None:
    """Try again what failed: put the images into the queue of RETINUE_QUEUE_URL once more.

    Only says what it would do, unless --yes is given. Repeating it before the workers are done asks
    for nothing twice, and what has succeeded meanwhile is not made again.
    """
    if missing and dead_letters:
        raise click.UsageError("--missing and --dead-letters exclude each other")
    settings = Settings.load()
    if dead_letters:
        _replay_dead_letters(settings, yes=yes)
        return
    wanted = Failures(**selected)
    with reader_url(settings) as url:
        if missing:
            keys = _keys(settings)
            click.echo("wanted: " + ", ".join(f"{name} {version}" for name, version, _ in keys))

            def find() -> Iterator[ReplayImage]:
                return missing_images(url, keys, wanted)
        else:
            for cause in failure_causes(url, wanted):
                click.echo(f"{cause.images:>10,}  {cause.detector}  {cause.error_code}")

            def find() -> Iterator[ReplayImage]:
                return failed_images(url, wanted)

        images = sum(1 for _ in find())
        if not images:
            click.echo("nothing to replay")
            return
        if not yes:
            click.echo(f"would ask for {images:,} images again; --yes does it")
            return
        queue_url = settings.require_queue_url()
        from retinue_aws import AwsClient

        from retinue_cli.replay.sender import Sender

        sent = 0
        with (
            Sender(AwsClient(_sqs()), queue_url, per_second=per_second) as sender,
            progress("images", images) as advance,
        ):
            for number in sender.send(_body(image) for image in find()):
                sent += number
                advance(number)
    click.echo(f"asked for {sent:,} images again; the workers of {queue_url} will look at them")


def _replay_dead_letters(settings: Settings, *, yes: bool) -> None:
    from retinue_cli.replay.dead_letters import DeadLetters, Moved

    dead = DeadLetters(_sqs(), settings.require_queue_url())
    waiting = dead.count()
    if not yes:
        click.echo(f"would move about {waiting:,} messages back from {dead.url}; --yes does it")
        return
    moved = Moved()
    with progress("dead letters", waiting) as advance:
        for number in dead.move_back(moved):
            advance(number)
    click.echo(f"moved {moved.messages:,} messages back")
    for reason, number in moved.left.most_common():
        click.echo(f"{number:,} stay, since no worker could understand them: {reason}")


def _keys(settings: Settings) -> list[tuple[str, str, str]]:
    """Name, version and fingerprint of the detectors as they are set; none of them is started."""
    from retinue_sdk.plugins.manager import Plugins

    if not settings.detectors:
        raise ConfigurationError("RETINUE_DETECTORS is not set: name the detectors of the pool")
    detectors = Plugins(folder=settings.plugins_dir).make(settings.detectors)
    return [(each.name, each.version, each.fingerprint()) for each in detectors]


def _body(image: ReplayImage) -> str:
    from retinue_cli.replay.message import Request

    version_id = image.version if image.versioned else None
    reference = ImageReference(
        image.bucket, image.key, version_id, image.etag if image.versioned else image.version
    )
    # The newest failed run tells one request from the next: asked twice before anything happened,
    # it is one request; once that has failed too, there is a newer run.
    return Request(
        reference,
        image.uploaded_at,
        image.size_bytes,
        image.sequencer,
        str(image.last_run_id),
        image.detectors,
    ).body()


def _sqs() -> "SQSClient":
    from retinue_workers.intake.clients import make_clients

    from retinue_cli.replay.sender import CONCURRENCY

    return make_clients(connections=CONCURRENCY).sqs
