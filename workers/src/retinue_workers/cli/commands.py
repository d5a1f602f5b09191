"""The commands of ``retinue``, in the order of use."""

from typing import IO, Any

import click
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError

from retinue_workers.cli.backfill import backfill
from retinue_workers.cli.diff import diff
from retinue_workers.cli.evaluate import evaluate
from retinue_workers.cli.export import export
from retinue_workers.cli.faces import faces
from retinue_workers.cli.failures import failures
from retinue_workers.cli.forget import forget
from retinue_workers.cli.import_ import import_
from retinue_workers.cli.maintain import maintain_command
from retinue_workers.cli.migrate import migrate
from retinue_workers.cli.models import models
from retinue_workers.cli.models_promote import promote
from retinue_workers.cli.models_train import train
from retinue_workers.cli.new_plugin import new_plugin
from retinue_workers.cli.plugins import plugins
from retinue_workers.cli.query import query
from retinue_workers.cli.replay import replay
from retinue_workers.cli.run import run
from retinue_workers.cli.show import show
from retinue_workers.cli.top import top
from retinue_workers.cli.try_detector import try_detector
from retinue_workers.cli.worker import worker
from retinue_workers.people.errors import FacesError
from retinue_workers.queue import QueueUnavailableError


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
        """The order in which they were added."""
        del ctx
        return list(self.commands)

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


retinue.add_command(run)
retinue.add_command(query)
retinue.add_command(show)
retinue.add_command(diff)
retinue.add_command(evaluate)
retinue.add_command(export)
retinue.add_command(import_)
retinue.add_command(plugins)
retinue.add_command(try_detector)
retinue.add_command(new_plugin)
retinue.add_command(top)
retinue.add_command(failures)
retinue.add_command(replay)
retinue.add_command(backfill)
retinue.add_command(worker)
retinue.add_command(migrate)
retinue.add_command(faces)
retinue.add_command(forget)
models.add_command(train)
models.add_command(promote)
retinue.add_command(models)
retinue.add_command(maintain_command)
