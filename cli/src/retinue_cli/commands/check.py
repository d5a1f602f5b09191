"""``retinue plugins check``."""

import sys
import uuid
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.detectors import detector_argument
from retinue_cli.options.json_flag import json_flag, plugins_print_beside
from retinue_cli.options.plugins_dir import given, plugins_dir_option
from retinue_cli.output.table import print_json

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


@click.command(short_help="Check that a detector behaves correctly.")
@detector_argument
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    help="Photographs (a file or a folder) in which the detector finds something.  [default: "
    "drawn ones]",
)
@click.option(
    "--bucket",
    help="S3 bucket without event notifications, for pictures of a service that reads S3 itself. "
    "They are deleted at the end.",
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Time limit of a call.",
)
@click.option(
    "--memory-images",
    type=click.IntRange(min=0),
    help="Number of images for the memory check.  [default: 1000; 0 for a detector with a price]",
)
@json_flag
@plugins_dir_option
@click.pass_obj
def check(
    folder: Path | None,
    *,
    detector: str,
    options: dict[str, Any],
    images: Path | None,
    bucket: str | None,
    timeout_seconds: float,
    memory_images: int | None,
    as_json: bool,
    plugins_dir: Path | None,
) -> None:
    """Check that a DETECTOR behaves correctly. Exit with 0 if it does, and 1 if not.

    These are the checks of the test classes of retinue_sdk.testing; docs/checks.md explains each.
    They run in a separate process, so crashes and hangs are reported, too. A detector of a paid
    service calls it about two hundred times.
    """
    from retinue_sdk.testing import CHECKS, CheckResult
    from rich.console import Console

    from retinue_cli.plugin_dev.check.bucket import CheckBucket
    from retinue_cli.plugin_dev.check.process import check_detector
    from retinue_cli.plugin_dev.check.request import CheckRequest, DetectorMade

    chosen = plugins_dir or folder
    request = CheckRequest(
        detector,
        options,
        Settings.load(**given(plugins_dir=chosen)).plugins_dir,
        () if images is None else _photographs(images),
        timeout_seconds,
        memory_images,
        bucket,
        f"retinue-plugins-check/{uuid.uuid4()}/",
    )

    status = Console(stderr=True, highlight=False).status(f"loading {detector}")

    def announce(done: int) -> None:
        if done < len(CHECKS):
            status.update(f"{CHECKS[done].id}: {CHECKS[done].meaning}")

    def begin(opened: DetectorMade) -> None:
        if opened.unread:
            click.echo(
                f"{detector} works by reference, and the pictures are not in S3. If its service "
                "reads them there, give --bucket BUCKET\n",
                err=as_json,
            )
        announce(0)

    told = count()

    def tell(result: CheckResult) -> None:
        announce(next(told) + 1)
        if as_json:
            return
        status.stop()  # it would print lines of standard output as its own
        outcome = click.style(f"{result.outcome:8}", fg=_COLOURS[result.outcome])
        click.echo(f"{outcome}{result.id:28}{result.seconds:6.1f} s")
        for line in result.message.removeprefix(f"{result.id}: ").splitlines():
            click.echo(f"        {line}")
        status.start()

    with ExitStack() as stack:
        if bucket is not None:
            lent = CheckBucket(bucket, request.prefix)
            lent.try_out()
            stack.callback(lent.clear)
        stack.enter_context(plugins_print_beside(as_json=as_json))
        stack.enter_context(status)
        report = check_detector(request, on_made=begin, on_result=tell)
    failed = len(report.failures)
    passed = sum(result.outcome == "passed" for result in report.results)
    if as_json:
        print_json(report.to_json())
    elif failed:
        click.echo(f"\n{detector} fails {failed} of {len(report.results)} checks")
    else:
        others = len(report.results) - passed
        click.echo(f"\n{detector} passes {passed} checks; {others} don't apply")
    if failed:
        sys.exit(1)


def _photographs(images: Path) -> tuple[bytes, ...]:
    """Return one photograph, or the first few of a folder."""
    files = [images] if images.is_file() else sorted(images.iterdir())
    wanted = [file for file in files if file.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not wanted:
        raise ConfigurationError(
            f"{images} has no .jpg or .png file: name another folder with --images"
        )
    return tuple(file.read_bytes() for file in wanted[:4])
