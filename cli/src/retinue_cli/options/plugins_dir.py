"""The option ``--plugins-dir``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.settings.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def plugins_dir_option(command: Command) -> Command:
    """Add the option to a command. Its default is the variable RETINUE_PLUGINS_DIR."""
    return click.option(
        "--plugins-dir",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Folder of plugins that are one Python file each.  [default: RETINUE_PLUGINS_DIR]",
    )(command)


def installed_plugins(folder: Path | None) -> Plugins:
    """Return the installed plugins and those of the folder, by default the settings' folder.

    Raises:
        ConfigurationError: A setting is wrong, or the folder doesn't exist.
    """
    return Plugins(folder=Settings.load(**given(plugins_dir=folder)).plugins_dir)


def given(**options: Any) -> dict[str, Any]:
    """Return the given options for ``Settings.load``. The others come from the environment."""
    return {name: value for name, value in options.items() if value is not None}
