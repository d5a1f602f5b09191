"""The command line in this process."""

from click.testing import CliRunner, Result
from retinue_cli.app import retinue


def run_retinue(*arguments: object, exit_code: int = 0) -> Result:
    """Run ``retinue``. It must succeed unless an exit code is given."""
    result = CliRunner().invoke(retinue, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result
