"""``retinue console``."""

import os
import signal
import socket
import sys
from contextlib import ExitStack, closing, suppress
from threading import Thread

import click
from retinue_history import HistoryUnavailableError
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_console.memory import return_large_blocks
from retinue_console.settings import ConsoleSettings

FIRST_PORT = 8600
"""First port of the search for a free one."""

PORTS = 100
"""How many ports are tried."""


@click.command(short_help="Look at images and detections in a browser.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help=f"TCP port; 0 takes a free one.  [default: the first free one from {FIRST_PORT} on]",
)
@click.option("--open", "opened", is_flag=True, help="Open the browser.")
@click.option("--with-parent", is_flag=True, hidden=True, help="End with standard input.")
def console(*, port: int | None, opened: bool, with_parent: bool) -> None:
    """Serve the web console: images with their detections, failures, costs, and reviews.

    Reads the history of RETINUE_QUERY_DATABASE_URL, or else the one under .retinue, with a
    read-only login. Ctrl-C stops it.
    """
    if with_parent:
        Thread(target=_end_with_input, name="parent", daemon=True).start()
    return_large_blocks()
    settings = ConsoleSettings.load(port=port)
    worker_settings = Settings.load()
    with closing(listen(settings)) as listener:
        _serve(settings, worker_settings, listener, opened=opened)


def _end_with_input() -> None:
    """Stop the console when the process that started it has ended, however it did."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def listen(settings: ConsoleSettings) -> socket.socket:
    """Open the socket to listen on.

    Raises:
        ConfigurationError: The port is taken, or the address isn't this machine's.
    """
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS) if settings.port is None else [settings.port]
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    problem: OSError | None = None
    for port in wanted:
        # asyncio sends without delay (TCP_NODELAY) only if the protocol is named.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
            listener.listen(128)  # binding alone lets two processes share a port
        except OSError as error:
            listener.close()
            problem = error
            continue
        return listener
    where = f"{settings.host}:{wanted[0]}" if len(wanted) == 1 else f"ports from {FIRST_PORT} on"
    reason = problem and problem.strerror
    raise ConfigurationError(f"cannot listen on {where}: {reason}. Choose another with --port")


def _serve(
    settings: ConsoleSettings,
    worker_settings: Settings,
    listener: socket.socket,
    *,
    opened: bool,
) -> None:
    import uvicorn

    from retinue_console.app import make_app
    from retinue_console.database import open_database, open_reviews
    from retinue_console.page import Services
    from retinue_console.pictures.opened import open_pictures

    host, port = listener.getsockname()[:2]
    own = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    address = f"{settings.public_url or own}{settings.base_path}"
    # uvicorn ends in order at these signals, and then raises them again.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(worker_settings))
        reviews = stack.enter_context(open_reviews(database, worker_settings, settings))
        pictures = stack.enter_context(open_pictures(database, settings, worker_settings))
        with suppress(HistoryUnavailableError):  # the pages show it, until it is back
            database.check()
            reviews.check()
        budgets = worker_settings.monthly_budgets_usd
        app = make_app(Services(database, reviews, pictures, settings, budgets))
        click.echo(f"Console: {address}")
        if opened:
            click.launch(address)
        config = uvicorn.Config(
            app,
            loop="asyncio",  # handlers run on threads: uvloop saves nothing
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listener])
