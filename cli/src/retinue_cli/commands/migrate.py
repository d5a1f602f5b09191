"""``retinue migrate``."""

import click
from retinue_history.schema.logins import create_iam_logins
from retinue_history.schema.migrate import upgrade
from retinue_history.schema.version import current_revision, head_revision
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import owner_url


@click.command(short_help="Create or update the history's tables and views.")
def migrate() -> None:
    """Create the history's tables and views, or bring them up to date.

    Uses RETINUE_DATABASE_URL, or the database under .retinue. Safe to repeat, and to start in
    several places at once. On RDS it also makes the logins that sign in by IAM: retinue_worker for
    workers, retinue_analyst for people.
    """
    with owner_url(Settings.load()) as url:
        before = current_revision(url)
        if before == head_revision():
            click.echo(f"already at revision {before}: nothing to do")
        else:
            upgrade(url)
            since = before or "an empty database"
            click.echo(f"migrated from {since} to revision {head_revision()}")
        if logins := create_iam_logins(url):
            click.echo(f"these may sign in by IAM: {', '.join(logins)}")
