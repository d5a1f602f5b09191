"""The option ``--plugins-dir``, which several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.settings.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def plugins_dir_option(command: Command) -> Command:
    """Give a command the option; the variable RETINUE_PLUGINS_DIR stands for it where it is not."""
    return click.option(
        "--plugins-dir",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Folder of plugins that are one Python file each.  [default: RETINUE_PLUGINS_DIR]",
    )(command)


def installed_plugins(folder: Path | None) -> Plugins:
    """The plugins, those of the folder among them; without one, the settings' folder counts.

    Raises:
        ConfigurationError: A setting is wrong, or there is no such folder.
    """
    return Plugins(folder=Settings.load(**given(plugins_dir=folder)).plugins_dir)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, for ``Settings.load``: the others come from the environment."""
    return {name: value for name, value in options.items() if value is not None}
