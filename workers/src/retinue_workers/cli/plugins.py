"""``retinue plugins``."""

import json
from typing import Any

import click

from retinue_workers.plugins import Plugins, Registration


@click.command(short_help="List the installed detectors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def plugins(*, as_json: bool) -> None:
    """List the installed detectors, with their versions and options."""
    found = sorted(Plugins().registrations.items())
    if as_json:
        click.echo(json.dumps([_describe(registration) for _, registration in found], indent=2))
        return
    if not found:
        click.echo("no plugin is installed; retinue-onnx has local detectors")
        return
    for name, registration in found:
        description = _describe(registration)
        click.echo(
            f"{click.style(name, bold=True)} {registration.detector.version}"
            f"  ({registration.distribution} {registration.distribution_version})"
        )
        click.echo(f"  {_plain(description['summary'])}")
        for option, schema in description["options"].items():
            default = json.dumps(schema["default"]) if "default" in schema else "required"
            click.echo(f"    {option} = {default}")
            if "description" in schema:
                click.echo(f"        {_plain(schema['description'])}")
        click.echo()


def _describe(registration: Registration) -> dict[str, Any]:
    """A detector as JSON: who it is, where it comes from, and a JSON schema for each option."""
    detector = registration.detector
    doc = (detector.__doc__ or "").strip()
    schema = detector.options_model.model_json_schema()
    return {
        "name": detector.name,
        "version": detector.version,
        "summary": doc.splitlines()[0] if doc else "",
        "plugin": registration.plugin,
        "distribution": registration.distribution,
        "distribution_version": registration.distribution_version,
        "options": schema.get("properties", {}),
    }


def _plain(text: str) -> str:
    """A docstring's text for a terminal: on one line, without the marks of reStructuredText."""
    return " ".join(text.split()).replace("``", "")
