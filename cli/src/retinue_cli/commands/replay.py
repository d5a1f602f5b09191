"""``retinue replay``."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from retinue_history import DetectorConfiguration
from retinue_history.analysis.failures import (
    Failures,
    ReplayImage,
    failed_images,
    failure_causes,
    missing_images,
)
from retinue_sdk import AnyDetector, ConfigurationError, JobDetector, Media, media_of
from retinue_workers.settings.settings import Settings
from retinue_workers.settings.video import VideoSampling

from retinue_cli.options.database import is_unconfigured, reader_url
from retinue_cli.options.detectors import wanted_detectors
from retinue_cli.options.failure_options import failure_options
from retinue_cli.options.given_options import given_options
from retinue_cli.options.json_flag import Say, json_flag
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

NOT_OF_DEAD_LETTERS = ("detector", "error_code", "since", "until", "prefix", "condition")
"""Options that select runs. Dead letters have none."""

Configurations: TypeAlias = dict[Media, list[DetectorConfiguration]]
"""The detectors of images, and those of videos."""


@click.command(short_help="Run detectors again where runs failed or are missing.")
@failure_options
@click.option(
    "--missing",
    is_flag=True,
    help="Select images without a finished run of a detector in RETINUE_DETECTORS, instead of "
    "failed runs.",
)
@click.option(
    "--dead-letters",
    is_flag=True,
    help="Send the messages of the dead-letter queue, instead of failed runs.",
)
@click.option(
    "--per-second", type=click.FloatRange(0, min_open=True), help="Maximum messages a second."
)
@click.option(
    "--yes", is_flag=True, help="Send the messages. Without this flag, only print the plan."
)
@json_flag
def replay(
    *,
    missing: bool,
    dead_letters: bool,
    per_second: float | None,
    yes: bool,
    as_json: bool,
    **selected: Any,
) -> None:
    """Run detectors again where runs failed, or with --missing, where runs are missing.

    Sends images to the queue of RETINUE_QUEUE_URL again. If neither a queue nor a database is set,
    a worker on this machine processes the files of `retinue run`. Without --yes, only prints the
    plan. Repeating the command causes no duplicate work, and runs that have succeeded meanwhile
    aren't repeated.
    """
    if missing and dead_letters:
        raise click.UsageError("--missing and --dead-letters exclude each other")
    if dead_letters and (given := given_options(NOT_OF_DEAD_LETTERS)):
        raise click.UsageError(f"--dead-letters moves all dead letters: remove {', '.join(given)}")
    settings = Settings.load()
    say = _silent if as_json else click.echo
    if dead_letters:
        report = _replay_dead_letters(settings, per_second=per_second, yes=yes, say=say)
    else:
        report = _replay_images(
            settings, Failures(**selected), missing=missing, per_second=per_second, yes=yes, say=say
        )
    if as_json:
        print_json(report)


def _silent(_: str) -> None:
    """Print nothing."""


def _replay_images(
    settings: Settings,
    wanted: Failures,
    *,
    missing: bool,
    per_second: float | None,
    yes: bool,
    say: Say,
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    with reader_url(settings) as url:
        find: Callable[[], Iterator[ReplayImage]]
        if is_unconfigured(settings):
            from retinue_cli.local.endpoint import REGION

            os.environ["AWS_REGION"] = REGION  # the emulator's, without which detectors aren't made
        if missing:
            wanted_runs = _configurations(settings)
            named = dict.fromkeys(
                (name, version) for of in wanted_runs.values() for name, version, _ in of
            )
            report["wanted"] = [{"detector": name, "version": version} for name, version in named]
            say("wanted: " + ", ".join(f"{name} {version}" for name, version in named))
            find = partial(_missing, url, wanted_runs, wanted)
        else:
            causes = failure_causes(url, wanted)
            report["causes"] = [asdict(cause) for cause in causes]
            for cause in causes:
                say(f"{cause.images:>10,}  {cause.detector}  {cause.error_code}")
            find = partial(failed_images, url, wanted)
        report["images"] = sum(1 for _ in find())
        if not report["images"]:
            say("nothing to replay")
        elif is_unconfigured(settings):
            report |= _replay_here(settings, find, yes=yes, say=say)
        elif not yes:
            say(f"would send {count(report['images'], 'image')} again; add --yes to do it")
        else:
            report["asked_again"] = _send(settings, find(), report["images"], per_second, say)
    return report


def _send(
    settings: Settings,
    images: Iterator[ReplayImage],
    about: int,
    per_second: float | None,
    say: Say,
) -> int:
    """Send messages for images, and return how many were sent."""
    from retinue_aws import AwsClient

    from retinue_cli.replay.message import replay_body
    from retinue_cli.replay.sender import Sender

    queue_url = settings.require_queue_url()
    sent = 0
    with (
        Sender(AwsClient(_sqs()), queue_url, per_second=per_second) as sender,
        progress("images", about) as advance,
    ):
        for number in sender.send(replay_body(image) for image in images):
            sent += number
            advance(number)
    say(f"sent {count(sent, 'image')} to {queue_url}")
    return sent


def _replay_here(
    settings: Settings, find: Callable[[], Iterator[ReplayImage]], *, yes: bool, say: Say
) -> dict[str, Any]:
    """Process images again on this machine, and return the results."""
    from retinue_sdk.plugins.manager import Plugins
    from rich.console import Console

    from retinue_cli.local.state import State
    from retinue_cli.replay.on_laptop import find_originals, retry

    state, detectors = State.find(), wanted_detectors(None)
    images = list(find())
    unknown = {name for image in images for name in image.detectors} - set(detectors)
    if unknown:
        say(f"left out: runs of {', '.join(sorted(unknown))}; RETINUE_DETECTORS doesn't name them")
    originals = find_originals(
        state, [image for image in images if not unknown.issuperset(image.detectors)]
    )
    if originals.gone:
        say(
            f"left out: {count(len(originals.gone), 'image')} whose file was moved, changed or "
            f"deleted, such as {originals.gone[0]}"
        )
    report: dict[str, Any] = {"left_out": originals.gone}
    if not originals.found:
        return report
    about = count(len(originals.found), "image")
    if not yes:
        say(f"would process {about} again; add --yes to do it")
        return report
    asked = {image.image_id for image, _ in originals.found}
    used = {name for image, _ in originals.found for name in image.detectors}
    made = Plugins(folder=settings.plugins_dir).make(
        {name: options for name, options in detectors.items() if name in used}
    )
    retry(
        state,
        originals,
        made,
        {name: detectors[name] for name in used},
        Console(highlight=False, stderr=True),
        plugins_dir=settings.plugins_dir,
        videos={name: one for name, one in _videos(settings, made).items() if name in used},
    )
    failed = len(asked & {image.image_id for image in find()})
    say(f"processed {about} again: {len(asked) - failed:,} succeeded, {failed:,} failed")
    return report | {"asked_again": len(asked), "succeeded": len(asked) - failed, "failed": failed}


def _replay_dead_letters(
    settings: Settings, *, per_second: float | None, yes: bool, say: Say
) -> dict[str, Any]:
    if is_unconfigured(settings):
        say("no dead letters: the queue of `retinue run` ends with the run")
        return {"dead_letters": 0}
    from retinue_cli.replay.dead_letters import DeadLetters, Moved

    dead = DeadLetters(_sqs(), settings.require_queue_url())
    waiting = dead.count()
    if not yes:
        about = count(waiting, "message")
        say(f"would move about {about} back from {dead.url}; add --yes to do it")
        return {"dead_letters": waiting}
    moved = Moved()
    with progress("dead letters", waiting) as advance:
        for number in dead.move_back(moved, per_second=per_second):
            advance(number)
    say(f"moved {count(moved.messages, 'message')} back")
    for reason, number in moved.left.most_common():
        say(f"{number:,} stay, because no worker can parse them: {reason}")
    if moved.returned:
        say(
            f"{count(moved.returned, 'message')} came back meanwhile and stay: the cause isn't "
            "fixed. The workers' log has it, as commit_rejected"
        )
    return {
        "dead_letters": waiting,
        "moved": moved.messages,
        "left": dict(moved.left),
        "returned": moved.returned,
    }


def _missing(url: str, configurations: Configurations, wanted: Failures) -> Iterator[ReplayImage]:
    """Yield the images and videos that lack a run of their detectors."""
    for medium, of_medium in configurations.items():
        for image in missing_images(url, of_medium, wanted) if of_medium else ():
            if media_of(image.key) is medium:
                yield image


def _configurations(settings: Settings) -> Configurations:
    """Return the configurations of the detectors in the settings. Start none."""
    from retinue_sdk.plugins.manager import Plugins

    from retinue_cli.local.configurations import detector_configurations, video_configurations

    chosen = wanted_detectors(None) if is_unconfigured(settings) else settings.detectors
    if not chosen:
        raise ConfigurationError("RETINUE_DETECTORS is not set: name the detectors of the pool")
    plugins = Plugins(folder=settings.plugins_dir)
    detectors = plugins.make(chosen)
    keys = detector_configurations(plugins, detectors)
    of_jobs = [
        key for each, key in zip(detectors, keys, strict=True) if isinstance(each, JobDetector)
    ]
    of_images = [key for key in keys if key not in of_jobs]
    of_videos = video_configurations(of_images, _videos(settings, detectors))
    return {Media.IMAGE: of_images, Media.VIDEO: [*of_videos, *of_jobs]}


def _videos(settings: Settings, detectors: Sequence[AnyDetector]) -> Mapping[str, VideoSampling]:
    """Return the frames of videos that detectors receive, on a laptop by default as in a run."""
    if settings.video or not is_unconfigured(settings):
        return settings.video
    from retinue_cli.local.videos import default_sampling

    return default_sampling(detectors)


def _sqs() -> "SQSClient":
    from retinue_workers.intake.clients import make_clients

    from retinue_cli.replay.sender import CONCURRENCY

    return make_clients(connections=CONCURRENCY).sqs
