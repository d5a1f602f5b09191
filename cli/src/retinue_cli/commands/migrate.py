"""``retinue migrate``."""

import click
from retinue_history.schema.logins import ANALYST_CONNECTIONS, create_iam_logins
from retinue_history.schema.migrate import revoke_public_rights, upgrade
from retinue_history.schema.version import current_revision, head_revision
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import owner_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.table import print_json


@click.command(short_help="Create or update the history's tables and views.")
@click.option(
    "--analyst",
    "analysts",
    multiple=True,
    metavar="NAME",
    help="Create the login analyst_NAME on RDS, and disable those of analysts not named. "
    "Repeatable.",
)
@click.option(
    "--analyst-connections",
    type=click.IntRange(1, 100),
    default=ANALYST_CONNECTIONS,
    show_default=True,
    help="Maximum number of concurrent connections of each analyst.",
)
@json_flag
def migrate(*, analysts: tuple[str, ...], analyst_connections: int, as_json: bool) -> None:
    """Create the history's tables and views, or upgrade them.

    Uses RETINUE_DATABASE_URL, or the database under .retinue. Safe to repeat, and to start several
    times concurrently. On RDS it also creates the logins with IAM authentication: retinue_worker
    for workers, retinue_analyst for analysts, retinue_console for the console's reviews.
    """
    with owner_url(Settings.load()) as url:
        before, after = current_revision(url), head_revision()
        if before != after:
            upgrade(url)
        else:
            revoke_public_rights(url)
        try:
            logins = create_iam_logins(url, analysts, analyst_connections=analyst_connections)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        print_json({"before": before, "after": after, "iam_logins": list(logins)})
        return
    if before == after:
        click.echo(f"already at revision {after}: nothing to do")
    else:
        click.echo(f"migrated from {before or 'an empty database'} to revision {after}")
    if logins:
        click.echo(f"logins for IAM: {', '.join(logins)}")
