"""``retinue plugins``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from retinue_sdk import ConfigurationError

from retinue_cli.commands.check import check
from retinue_cli.options.detectors import detector_argument
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.plugins_dir import installed_plugins, plugins_dir_option
from retinue_cli.output.detector_sheet import capabilities, describe, option_lines
from retinue_cli.output.table import print_json


class _DetectorsAsCommands(click.Group):
    """A group that treats an unknown command as a detector's name, and shows that detector."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve ``plugins NAME`` to ``plugins show NAME``."""
        if args and args[0] not in self.commands:
            return show.name, show, args
        return super().resolve_command(ctx, args)


@click.group(
    cls=_DetectorsAsCommands,
    invoke_without_command=True,
    short_help="List, describe and check installed detectors.",
    subcommand_metavar="[DETECTOR | check DETECTOR]",
)
@json_flag
@plugins_dir_option
@click.pass_context
def plugins(ctx: click.Context, *, as_json: bool, plugins_dir: Path | None) -> None:
    """List the installed detectors. With a DETECTOR, show its options.

    Prints the reason for each unusable plugin. The exit code is then 1.
    """
    ctx.obj = plugins_dir
    if ctx.invoked_subcommand is not None:
        return
    found = installed_plugins(plugins_dir)
    problems = [*found.problems, *found.contested.values()]
    sheets = []
    for _, registration in sorted(found.registrations.items()):
        try:
            sheets.append(describe(registration))
        except ConfigurationError as error:
            problems.append(str(error))
    if as_json:
        print_json(sheets)
    else:
        _list(sheets)
    for problem in problems:
        click.echo(f"{click.style('unusable:', fg='red', bold=True)} {problem}", err=True)
    if problems:
        sys.exit(1)


def _list(sheets: Sequence[dict[str, Any]]) -> None:
    if not sheets:
        click.echo("no plugin is installed; retinue-onnx has local detectors")
        return
    for sheet in sheets:
        click.echo(
            f"{click.style(sheet['name'], bold=True)} version {sheet['version']}"
            f" ({sheet['distribution']} {sheet['distribution_version']})"
        )
        click.echo(f"  {sheet['summary']}")
    click.echo("\nTo see the options of a detector: retinue plugins DETECTOR")


@click.command(short_help="Show all about one detector.")
@detector_argument
@json_flag
@plugins_dir_option
@click.pass_obj
def show(
    folder: Path | None,
    *,
    detector: str,
    options: dict[str, Any],
    as_json: bool,
    plugins_dir: Path | None,
) -> None:
    """Show a detector's options, with types, ranges and defaults, and its capabilities."""
    found = installed_plugins(plugins_dir or folder)
    registration = found.find(detector)
    sheet = describe(registration)
    sheet["capabilities"] = capabilities(found, detector, options)
    if as_json:
        print_json(sheet)
        return
    click.echo(
        f"{click.style(detector, bold=True)} {sheet['version']}, of "
        f"{sheet['distribution']} {sheet['distribution_version']}"
    )
    click.echo(f"{sheet['summary']}\n")
    click.echo(click.style("Options", bold=True))
    for line in option_lines(sheet["options"]):
        click.echo(line)
    click.echo("  none\n" if not sheet["options"] else "")
    if any(option["operational"] for option in sheet["options"].values()):
        click.echo("Operational options don't change findings, so images aren't processed again.")
        click.echo()
    click.echo(click.style("Capabilities", bold=True))
    declared = sheet["capabilities"]
    if isinstance(declared, str):
        click.echo(f"  not known with these options: {declared}")
        return
    for name, value in declared.items():
        click.echo(f"  {name} = {'no limit' if value is None else value}")


plugins.add_command(check)
