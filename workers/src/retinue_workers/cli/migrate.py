"""``retinue migrate``."""

import click
from retinue_history import current_revision, head_revision, upgrade

from retinue_workers.cli.database import owner_url
from retinue_workers.settings import Settings


@click.command(short_help="Create or update the history's tables and views.")
def migrate() -> None:
    """Create the history's tables and views, or bring them up to date.

    Uses RETINUE_DATABASE_URL, or the database under .retinue. Safe to repeat, and to start in
    several places at once.
    """
    with owner_url(Settings.load()) as url:
        before = current_revision(url)
        if before == head_revision():
            click.echo(f"already at revision {before}: nothing to do")
            return
        upgrade(url)
        click.echo(f"migrated from {before or 'an empty database'} to revision {head_revision()}")
