"""The group of commands ``retinue``, which imports each command when it runs."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError
from retinue_workers.intake.errors import AwsUnavailableError, QueueUnavailableError

from retinue_cli.faces.errors import FacesError
from retinue_cli.loading import loading
from retinue_cli.output.words import escaped_lines

_GROUPS = {
    "Use it": {
        "run": "retinue_cli.commands.run:run",
        "console": "retinue_console.command:console",
        "show": "retinue_cli.commands.show:show",
    },
    "Query it": {
        "query": "retinue_cli.commands.query:query",
        "schema": "retinue_cli.commands.schema:schema",
        "psql": "retinue_cli.commands.psql:psql",
        "diff": "retinue_cli.commands.diff:diff",
        "evaluate": "retinue_cli.commands.evaluate:evaluate",
        "export": "retinue_cli.commands.export:export",
        "import": "retinue_cli.commands.import_:import_",
    },
    "Extend it": {
        "new-plugin": "retinue_cli.commands.new_plugin:new_plugin",
        "detect": "retinue_cli.commands.detect:detect",
        "plugins": "retinue_cli.commands.plugins:plugins",
    },
    "Operate it": {
        "worker": "retinue_workers.__main__:worker",
        "top": "retinue_cli.commands.top:top",
        "failures": "retinue_cli.commands.failures:failures",
        "replay": "retinue_cli.commands.replay:replay",
        "backfill": "retinue_cli.commands.backfill:backfill",
        "migrate": "retinue_cli.commands.migrate:migrate",
        "maintain": "retinue_cli.commands.maintain:maintain_command",
        "forget": "retinue_cli.commands.forget:forget",
        "faces": "retinue_cli.commands.faces:faces",
        "models": "retinue_cli.commands.models:models",
    },
}
"""Command names by purpose, in the order of use, each with its module and its name there. A command
is imported when it runs, so a worker starts without the modules of other commands.
"""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, quota or file."""

_COMMANDS = {name: place for group in _GROUPS.values() for name, place in group.items()}


INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, which shells report for other programs."""

TERMINATED = 143
"""Exit code after SIGTERM: 128 + SIGTERM."""

CLOSED_PIPE = 141
"""Exit code if the reader of the output ends early, as `head` does: 128 + SIGPIPE, which shells
report for other programs."""


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived. It ends a command as Ctrl-C does: temporary files are removed."""


class _Failure(click.ClickException):
    """A dependency doesn't answer, or refuses."""

    exit_code = 1


class _Refusal(click.ClickException):
    """A setting or argument is wrong. A retry can't succeed without changing it."""

    exit_code = 2


class _Commands(click.Group):
    """Lists commands by purpose, and prints errors in one form, without a traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command and exit.

        The exit code is 1 after a failure, 2 after wrong usage, 130 after Ctrl-C, 143 after
        SIGTERM, and 141 if the reader of the output is gone.
        """
        try:
            with _signals_end_it():
                code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            _print_error(error)
            if isinstance(error, click.NoSuchOption):
                _explain_hyphens(extra.get("args") or sys.argv[1:])
            sys.exit(_code_of_signal(error) or error.exit_code)
        except click.Abort as error:
            # Click makes an Abort of Ctrl-C, of the end of standard input, and of the answer no.
            cause = error.__cause__ or error.__context__
            if isinstance(cause, _TerminatedError):
                _print_error(click.ClickException("ended by SIGTERM"))
            if isinstance(cause, KeyboardInterrupt):
                if isinstance(cause.__cause__, Exception):
                    _print_stopped(cause.__cause__)
                sys.exit(_code_of_signal(cause))
            said = "no answer on standard input" if isinstance(cause, EOFError) else "not confirmed"
            _print_error(click.ClickException(f"{said}; nothing was done"))
            sys.exit(1)
        except SystemExit as ended:  # Rich exits with 1 after a closed pipe
            if not isinstance(ended.__context__, BrokenPipeError):
                raise
            _discard_output()
            sys.exit(CLOSED_PIPE)
        except Exception as error:
            code = _code_of_signal(error)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                where = error.filename or "standard output or a file"  # a write has no name
                _print_error(click.ClickException(f"cannot write {where}: {error.strerror}"))
                _discard_output()
                sys.exit(code or 1)
            if code is None:
                raise
            _print_stopped(error)
            sys.exit(code)
        sys.exit(code if isinstance(code, int) else 0)  # --help and --version give their exit code

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line, and print the help."""
        with _exit_at_closed_pipe():
            return super().make_context(*args, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of use."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        return _load(cmd_name) if cmd_name in _COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name. Suggest similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=_COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of the help for each purpose."""
        del ctx
        width = max(map(len, _COMMANDS))
        for title, group in _GROUPS.items():
            with formatter.section(title):
                lines = {name: _load(name).get_short_help_str(formatter.width) for name in group}
                formatter.write_dl([(name.ljust(width), line) for name, line in lines.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Exit with 2 for a wrong setting, 1 if the database is unavailable."""
        try:
            with _exit_at_closed_pipe():
                return super().invoke(ctx)
        except ConfigurationError as error:
            raise _Refusal(str(error)) from error
        except (HistoryError, QueueUnavailableError, AwsUnavailableError, FacesError) as error:
            raise _Failure(str(error)) from error


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """End the command in order at SIGTERM and SIGHUP, unless they are ignored, as by nohup."""

    def terminate(number: int, frame: FrameType | None) -> None:
        ctrl_c = signal.getsignal(signal.SIGINT)
        try:
            if callable(ctrl_c):  # while a plugin's code runs, it keeps the plugin from hiding it
                ctrl_c(number, frame)
        except KeyboardInterrupt:
            pass
        raise _TerminatedError

    def hang_up(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.raise_signal(signal.SIGTERM)  # a worker and the console handle it themselves

    ours: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {signal.SIGTERM: terminate, signal.SIGHUP: hang_up}
        ours = {
            number: handler
            for number, handler in handlers.items()
            if signal.getsignal(number) is signal.SIG_DFL
        }
    for number, handler in ours.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _print_stopped(error: Exception) -> None:
    what = str(error) or type(error).__name__
    _print_error(click.ClickException(f"stopped, with an error: {what}"))


def _code_of_signal(error: BaseException) -> int | None:
    """Return the exit code if an error occurred while a signal ended the command."""
    earlier: BaseException | None = error
    while earlier is not None:
        if isinstance(earlier, KeyboardInterrupt):
            return TERMINATED if isinstance(earlier, _TerminatedError) else INTERRUPTED
        earlier = earlier.__cause__ or earlier.__context__
    return None


def _explain_hyphens(arguments: Sequence[str]) -> None:
    """Print how to name files that look like options."""
    for argument in arguments:
        if argument.startswith("-") and os.path.lexists(argument):
            click.echo(f"For the file of this name, write ./{escaped_lines(argument)}", err=True)


def _load(name: str) -> click.Command:
    module, _, attribute = _COMMANDS[name].partition(":")
    try:
        with loading():
            command: click.Command = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "retinue_console":
            raise
        return _without_console(name)
    return command


@contextmanager
def _exit_at_closed_pipe() -> Iterator[None]:
    """Exit if the reader of the output is gone, before click exits with 1."""
    try:
        yield
    except BrokenPipeError:
        sys.exit(CLOSED_PIPE)


def _discard_output() -> None:
    """Discard what is still to be written, which Python does at its end, and which would fail."""
    discard = os.open(os.devnull, os.O_WRONLY)
    os.dup2(discard, 1)


def _without_console(name: str) -> click.Command:
    @click.command(
        name,
        short_help="Needs the extra `console`.",
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("ignored", nargs=-1)
    def missing(ignored: tuple[str, ...]) -> None:
        """Explain how to install the console."""
        del ignored
        raise ConfigurationError(
            f"`retinue {name}` needs the web console: pip install 'retinue[console]'"
        )

    return missing


def _print_error(error: click.ClickException) -> None:
    """Print an error to standard error. After wrong usage, also print the usage."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"`{error.ctx.command_path} --help` explains it.\n", err=True)
    word = click.style("error:", fg="red", bold=True)
    click.echo(f"{word} {escaped_lines(error.format_message())}", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retinue-cli", prog_name="retinue")
def retinue() -> None:
    """Turn every image that lands in an S3 bucket into rows in Postgres.

    Settings come from environment variables named RETINUE_…; docs/settings.md lists them. Without
    any, all commands use the history under .retinue that `retinue run` creates.

    The exit code is 0 after success, 1 after a failure, 2 for a wrong argument or setting, 130
    after Ctrl-C, 143 after SIGTERM, and 141 if the reader of the output ends early, as `head` does.
    """
