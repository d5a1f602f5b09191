"""The commands of ``retinue``, in the order of use."""

import gc
from importlib import import_module
from typing import IO, Any

import click
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError

from retinue_workers.intake.sqs import QueueUnavailableError
from retinue_workers.people.errors import FacesError

_COMMANDS = {
    "run": "run:run",
    "query": "query:query",
    "show": "show:show",
    "diff": "diff:diff",
    "evaluate": "evaluate:evaluate",
    "export": "export:export",
    "import": "import_:import_",
    "plugins": "plugins:plugins",
    "try": "try_detector:try_detector",
    "new-plugin": "new_plugin:new_plugin",
    "top": "top:top",
    "failures": "failures:failures",
    "replay": "replay:replay",
    "backfill": "backfill:backfill",
    "worker": "worker:worker",
    "migrate": "migrate:migrate",
    "faces": "faces:faces",
    "forget": "forget:forget",
    "models": "models:models",
    "maintain": "maintain:maintain_command",
}
"""Names of commands, and in which module of this package each is under which name: a command is
imported when it is run, and a worker starts without what twenty others need."""


class _Failure(click.ClickException):
    """Something does not answer, or refuses: told in one message, without a traceback."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it where errors go."""
        click.echo(f"{click.style('error:', fg='red', bold=True)} {self.message}", file, err=True)


class _Refusal(_Failure):
    """A wrong setting or argument: trying again without changing it cannot help."""

    exit_code = 2


class _Commands(click.Group):
    """Lists commands in the order of use, and tells our own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The order of use."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; from then on there is garbage to collect, see ``main``."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"retinue_workers.cli.{module}"), name)
        gc.enable()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a wrong setting ends with exit code 2, a database away with 1."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise _Refusal(str(error)) from error
        except (HistoryError, QueueUnavailableError, FacesError) as error:
            raise _Failure(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retinue-workers", prog_name="retinue")
def retinue() -> None:
    """Turn every image that lands in an S3 bucket into rows in Postgres.

    Settings come from environment variables named RETINUE_…; docs/settings.md lists them. Without
    any, `retinue run` and `retinue query` use a database of their own under .retinue.
    """
