"""``retinue psql``."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import click
from psycopg.conninfo import make_conninfo
from retinue_history.db.connections import connection_parameters
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import is_of_laptop, reader_url


@click.command(
    short_help="Open the history in psql, or print its URL for another program.",
    context_settings={"ignore_unknown_options": True},
)
@click.option(
    "--url",
    "only_url",
    is_flag=True,
    help="Print the URL for another program, and keep the history under .retinue running until "
    "Ctrl-C.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL_OPTION]…")
def psql(*, only_url: bool, arguments: tuple[str, ...]) -> None:
    """Open the detection history in psql, with a read-only login.

    Accepts psql's options, such as -c "select 1". The history under .retinue runs only while a
    command uses it. With --url it runs until Ctrl-C, for other programs that can connect to a Unix
    socket.
    """
    settings = Settings.load()
    with reader_url(settings) as url:
        if only_url:
            click.echo(url.replace("postgresql+psycopg://", "postgresql://", 1))
            if is_of_laptop(settings):
                click.echo("the server runs until Ctrl-C", err=True)
                while True:
                    signal.pause()
            return
        sys.exit(_psql(url, arguments))


def _psql(url: str, arguments: Sequence[str]) -> int:
    """Run psql and return its exit code."""
    parameters = connection_parameters(url)
    password = parameters.pop("password", None)  # other users can see a process's arguments
    environment = {**os.environ, **({} if password is None else {"PGPASSWORD": str(password)})}
    # Ctrl-C belongs to psql, which cancels a query with it. A handler isn't inherited.
    former = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and the user's own arguments
            [_program(), make_conninfo(**parameters), *arguments], env=environment, check=False
        )
    finally:
        signal.signal(signal.SIGINT, former)
    return 128 - ended.returncode if ended.returncode < 0 else ended.returncode


def _program() -> str:
    """Return the path of psql: the user's own, or the one of the laptop's server.

    Raises:
        ConfigurationError: psql isn't installed.
    """
    if (own := shutil.which("psql")) is not None:
        return own
    try:
        from retinue_cli.local.postgres_install import PostgresInstall
    except ImportError as error:  # a slim installation
        raise ConfigurationError(
            "psql is not installed; `retinue psql --url` prints the URL for another program"
        ) from error
    return str(PostgresInstall.find().programs / "psql")
