"""``retinue plugins check``."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from retinue_sdk import ConfigurationError

from retinue_workers.cli.json_option import json_options
from retinue_workers.cli.plugins_dir import installed_plugins, plugins_dir_option

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


@click.command(short_help="Check that a detector keeps the rules.")
@click.argument("detector")
@json_options
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    help="A photograph, or a folder of them, in which it finds something.  [default: drawn ones]",
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Longest call of the detector.",
)
@click.option(
    "--memory-images",
    type=click.IntRange(min=0),
    help="Images of the memory check.  [default: 1000; 0 for a detector with a price]",
)
@click.option(
    "--json",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the report as JSON.",
)
@plugins_dir_option
@click.pass_obj
def check(
    folder: Path | None,
    *,
    detector: str,
    options: dict[str, Any],
    images: Path | None,
    timeout_seconds: float,
    memory_images: int | None,
    report_path: Path | None,
    plugins_dir: Path | None,
) -> None:
    """Check that a DETECTOR keeps the rules; the exit code is 0 if it does, and 1 if not.

    These are the checks that the test classes of retinue_sdk.testing make; docs/checks.md explains
    each. A detector that asks a service with a price calls it some two hundred times.
    """
    from retinue_sdk.testing import CheckResult, Subject, run_checks

    found = installed_plugins(plugins_dir or folder)
    [made] = found.make({detector: options})  # a wrong option is told before anything else
    if memory_images is None:
        memory_images = 0 if made.capabilities.usd_per_unit else 1_000
    subject = Subject(
        type(made), options, timeout_seconds=timeout_seconds, memory_images=memory_images
    )
    if images is not None:
        subject = replace(subject, photographs=_photographs(images))

    def tell(result: CheckResult) -> None:
        outcome = click.style(f"{result.outcome:8}", fg=_COLOURS[result.outcome])
        click.echo(f"{outcome}{result.id:28}{result.seconds:6.1f} s")
        for line in result.message.removeprefix(f"{result.id}: ").splitlines():
            click.echo(f"        {line}")

    report = run_checks(subject, told=tell)
    if report_path is not None:
        text = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
        report_path.write_text(f"{text}\n", encoding="utf-8")
    count = len(report.failures)
    passed = sum(result.outcome == "passed" for result in report.results)
    if count:
        click.echo(f"\n{detector} fails {count} of {len(report.results)} checks")
        sys.exit(1)
    click.echo(f"\n{detector} passes: {passed} checks, {len(report.results) - passed} not for it")


def _photographs(images: Path) -> tuple[bytes, ...]:
    """The first few photographs of a folder, or one."""
    files = [images] if images.is_file() else sorted(images.iterdir())
    wanted = [file for file in files if file.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not wanted:
        raise ConfigurationError(f"{images} has no .jpg and no .png file: give another --images")
    return tuple(file.read_bytes() for file in wanted[:4])
