"""``retinue import``."""

from datetime import UTC, datetime
from pathlib import Path

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import owner_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

MAX_NAME = 200
"""Maximum length of a name or version, in characters. An index entry contains both."""


@click.command("import", short_help="Import annotations, such as COCO ground truth.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--detector",
    default="ground-truth",
    show_default=True,
    help="The detector's name that the runs get.",
)
@click.option("--version", default="1", show_default=True, help="The detector's version.")
@click.option("--bucket", help="Look for the images in this bucket alone.")
@click.option(
    "--skip-unknown", is_flag=True, help="Pass over images that the history does not know."
)
@json_flag
def import_(
    *,
    file: Path,
    detector: str,
    version: str,
    bucket: str | None,
    skip_unknown: bool,
    as_json: bool,
) -> None:
    """Import annotations from a COCO file or manifest as ground truth.

    Images are found by S3 URI, by key or by the end of a key. The whole file is checked first, and
    recorded in one transaction. Importing it twice adds nothing. Then compare:

    retinue diff ground-truth onnx-objects
    """
    from retinue_history.analysis.ground_truth import record_annotations
    from retinue_history.db.engine import create_history_engine

    from retinue_cli.data.ground_truth import Annotations, Problems, make_runs, match

    for name, value in (("--detector", detector), ("--version", version)):
        if not 0 < len(value) <= MAX_NAME or not value.isprintable():
            raise ConfigurationError(f"{name} must be a text of 1 to {MAX_NAME} characters")
    problems = Problems()
    try:
        annotations = Annotations.read(file, problems)
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    with owner_url(Settings.load()) as url:
        engine = create_history_engine(
            url, application_name="retinue import", statement_timeout_seconds=0
        )
        try:
            matched, skipped = match(
                engine, annotations, problems, bucket=bucket, skip_unknown=skip_unknown
            )
            if problems:
                raise ConfigurationError(
                    f"{file} was not imported; nothing was recorded\n{problems}"
                )
            runs = make_runs(
                matched,
                detector=detector,
                version=version,
                fingerprint=annotations.fingerprint,
                imported_at=datetime.now(UTC),
            )
            sizes = {one.image_id: one.size_px for one in matched if one.size_px is not None}
            with progress("images", len(matched)) as advance:
                new = record_annotations(engine, runs, sizes, advance=advance)
        finally:
            engine.dispose()
    number = sum(len(one.image.annotations) for one in matched)
    if as_json:
        print_json(
            {
                "detector": detector,
                "version": version,
                "images": len(matched),
                "annotations": number,
                "new_runs": new,
                "unknown_images": skipped,
            }
        )
        return
    click.echo(
        f"{count(len(matched), 'image')} with {count(number, 'annotation')}: "
        f"{count(new, 'new run')} of {detector} {version}"
        + (f", {len(matched) - new:,} known already" if new < len(matched) else "")
    )
    if skipped:
        click.echo(f"left out: {count(skipped, 'image')} that the history does not know")
