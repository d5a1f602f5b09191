"""``retinue maintain``."""

import click
from retinue_history.db.engine import create_history_engine
from retinue_history.upkeep.maintenance import Retention, maintain
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.archive import archive_place
from retinue_cli.options.database import owner_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json


@click.command("maintain", short_help="Create partitions, and delete expired data.")
@click.option("--dry-run", is_flag=True, help="Print the steps without performing them.")
@json_flag
def maintain_command(*, dry_run: bool, as_json: bool) -> None:
    """Create the history's next months, and delete data past its retention.

    RETINUE_RETENTION_DETECTIONS_MONTHS, RETINUE_RETENTION_RAW_RESPONSES_DAYS and
    RETINUE_RETENTION_DELETED_IMAGES_DAYS set the retention. With RETINUE_ARCHIVE, months of
    detections are archived before they are dropped. Run it once a day as the tables' owner.
    It is safe to repeat, and workers can keep running. Daily counts of labels outlive their
    detections. Before a deleted image is purged, S3 must confirm that it is gone.
    """
    from retinue_workers.intake.clients import make_clients

    from retinue_cli.data.archive.months import ArchiveDestination
    from retinue_cli.replay.served import THREADS, ServedImages

    settings = Settings.load()
    keep = Retention(
        detections_months=settings.retention_detections_months,
        raw_responses_days=settings.retention_raw_responses_days,
        deleted_images_days=settings.retention_deleted_images_days,
    )
    place = archive_place(settings)
    done: list[str] = []

    def tell(line: str) -> None:
        done.append(line)
        if not as_json:
            click.echo(line)

    served = ServedImages(lambda: make_clients(connections=THREADS).s3())
    with owner_url(settings) as url:
        engine = create_history_engine(url, application_name="retinue maintain", pool_size=2)
        try:
            with progress("archived detections") as advance:
                maintain(
                    engine,
                    keep,
                    dry_run=dry_run,
                    tell=tell,
                    find_served=served.find,
                    archive=None if place is None else ArchiveDestination(place, url, advance),
                )
        finally:
            engine.dispose()
    if as_json:
        print_json({"done": done, "not_asked": dict(served.refusals), "dry_run": dry_run})
    elif not done:
        click.echo("nothing to do")
    for bucket, reason in served.refusals.items():
        raise ConfigurationError(
            f"S3 doesn't list {bucket}: {reason}. Its deleted images were kept. `maintain` "
            "needs s3:ListBucketVersions on the bucket"
        )
    if not dry_run and not as_json:
        # An alarm expects this line (infra/modules/maintenance).
        click.echo("maintenance is done")
