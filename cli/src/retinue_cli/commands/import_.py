"""``retinue import``."""

from pathlib import Path

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import owner_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.system_user import system_user
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

MAX_NAME = 200
"""Maximum length of a name, in characters. An index entry contains it."""


@click.command("import", short_help="Import annotations, such as COCO ground truth.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default="ground-truth", show_default=True, help="Name of the truth.")
@click.option("--bucket", help="Look for the images only in this bucket.")
@click.option("--skip-unknown", is_flag=True, help="Ignore images that aren't in the history.")
@click.option(
    "--incomplete",
    is_flag=True,
    help="The file doesn't annotate everything: count other findings as unknown, not wrong.",
)
@json_flag
def import_(
    *,
    file: Path,
    name: str,
    bucket: str | None,
    skip_unknown: bool,
    incomplete: bool,
    as_json: bool,
) -> None:
    """Import annotations from COCO, Label Studio or a manifest as ground truth.

    Images are found by S3 URI, by key or by the end of a key. The whole file is checked first, and
    recorded in one transaction. Importing it twice adds nothing; a corrected file replaces the
    truth of its images. Then compare:

    retinue diff ground-truth onnx-objects
    """
    from retinue_history.analysis.comparison import NO_NAME, names_truth
    from retinue_history.db.engine import (
        create_history_engine,
        driver_connection,
        map_engine_errors,
    )
    from retinue_history.review.truth import save_imported_truths

    from retinue_cli.data.ground_truth import Annotations, Problems, make_truths, match

    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ConfigurationError(f"--name must be a text of 1 to {MAX_NAME} characters")
    if not names_truth(name):
        raise ConfigurationError(f"--name {name}: {NO_NAME}")
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
            truths = make_truths(matched, annotations.labels, exhaustive=not incomplete)
            with (
                progress("images", len(matched)) as advance,
                map_engine_errors(),
                engine.begin() as connection,
            ):
                new = save_imported_truths(
                    driver_connection(connection),
                    name,
                    annotations.fingerprint + ("-incomplete" if incomplete else ""),
                    truths,
                    person=system_user(),
                    advance=advance,
                )
        finally:
            engine.dispose()
    number = sum(len(one.image.annotations) for one in matched)
    if as_json:
        print_json(
            {
                "name": name,
                "images": len(matched),
                "annotations": number,
                "new_truths": new,
                "unknown_images": skipped,
            }
        )
        return
    click.echo(
        f"{count(len(matched), 'image')} with {count(number, 'annotation')}: "
        f"{count(new, 'new truth')} in {name}"
        + (f", {len(matched) - new:,} known already" if new < len(matched) else "")
    )
    if skipped:
        click.echo(f"left out: {count(skipped, 'image')} not in the history")
