"""Which options a command was called with."""

from collections.abc import Collection

import click
from click.core import ParameterSource


def given_options(names: Collection[str]) -> list[str]:
    """Return those of the current command's options that were given, such as ``--since``.

    Args:
        names: Names of parameters.
    """
    context = click.get_current_context()
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
