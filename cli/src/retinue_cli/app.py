"""The group of commands ``retinue``, which loads each command when it is run."""

from importlib import import_module
from typing import IO, Any

import click
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError
from retinue_workers.intake.clients import AwsUnavailableError
from retinue_workers.intake.sqs import QueueUnavailableError

from retinue_cli.faces.errors import FacesError

_COMMANDS = {
    "run": "retinue_cli.commands.run:run",
    "query": "retinue_cli.commands.query:query",
    "show": "retinue_cli.commands.show:show",
    "diff": "retinue_cli.commands.diff:diff",
    "evaluate": "retinue_cli.commands.evaluate:evaluate",
    "export": "retinue_cli.commands.export:export",
    "import": "retinue_cli.commands.import_:import_",
    "plugins": "retinue_cli.commands.plugins:plugins",
    "detect": "retinue_cli.commands.detect:detect",
    "new-plugin": "retinue_cli.commands.new_plugin:new_plugin",
    "top": "retinue_cli.commands.top:top",
    "failures": "retinue_cli.commands.failures:failures",
    "replay": "retinue_cli.commands.replay:replay",
    "backfill": "retinue_cli.commands.backfill:backfill",
    "worker": "retinue_workers.__main__:worker",
    "migrate": "retinue_cli.commands.migrate:migrate",
    "faces": "retinue_cli.commands.faces:faces",
    "forget": "retinue_cli.commands.forget:forget",
    "models": "retinue_cli.commands.models:models",
    "maintain": "retinue_cli.commands.maintain:maintain_command",
}
"""Names of commands, in the order of use, each with its module and its name there. A command is
imported when it is run, so a worker starts without what twenty others need."""


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
        """Import a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a wrong setting ends with exit code 2, a database away with 1."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise _Refusal(str(error)) from error
        except (HistoryError, QueueUnavailableError, AwsUnavailableError, FacesError) as error:
            raise _Failure(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retinue-cli", prog_name="retinue")
def retinue() -> None:
    """Turn every image that lands in an S3 bucket into rows in Postgres.

    Settings come from environment variables named RETINUE_…; docs/settings.md lists them. Without
    any, `retinue run` and `retinue query` use a database of their own under .retinue.
    """
