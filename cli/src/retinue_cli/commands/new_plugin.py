"""``retinue new-plugin``."""

from pathlib import Path

import click

from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.output.table import print_json
from retinue_cli.plugin_dev.scaffold import PluginNames, next_steps, refuse_taken, write_plugin


@click.command("new-plugin", short_help="Create a plugin with a working detector.")
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("my-plugins"),
    show_default=True,
    help="Parent folder of the plugin.",
)
@json_flag
def new_plugin(*, name: str, directory: Path, as_json: bool) -> None:
    """Create a plugin with a working detector NAME: code, options, tests, README.

    NAME is lower-case words joined by hyphens, such as acme-logos. It must differ
    from the names of installed detectors and Python packages. Nothing is overwritten.
    """
    names = PluginNames.of(name)
    refuse_taken(names)
    folder = directory / name
    files = write_plugin(names, folder)
    steps = next_steps(name, folder)
    say = say_beside(as_json=as_json)
    for path in files:
        say(f"  {path}")
    say(f"\n{folder} has a plugin with the detector {name}. Next:")
    for step in steps:
        say(f"  {step}")
    if as_json:
        print_json(
            {
                "detector": name,
                "folder": str(folder),
                "files": [str(path) for path in files],
                "next": list(steps),
            }
        )
