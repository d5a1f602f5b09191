"""``retinue models get``."""

import re
from dataclasses import asdict
from pathlib import Path

import click

from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json


@click.command(short_help="Download an ONNX model and check its hash.")
@click.argument("name", required=False)
@click.option("--url", metavar="URL", help="Download this file instead of a known model.")
@click.option(
    "--sha256", metavar="HEX", help="The file's hash; needed with --url, or if none is known."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to save it.  [default: .retinue/models/NAME.onnx]",
)
@json_flag
def get(
    *, name: str | None, url: str | None, sha256: str | None, output: Path | None, as_json: bool
) -> None:
    """Download the ONNX model NAME. Without NAME, list the known models.

    An interrupted download continues. Proxies come from HTTPS_PROXY and NO_PROXY. For example:

    retinue models get d-fine-nano
    """
    from retinue_cli.data.model_files import PUBLISHED, DownloadError, download

    if name is None:
        if as_json:
            print_json([asdict(model) for model in PUBLISHED])
            return
        for model in PUBLISHED:
            click.echo(f"{model.name:<14} {model.about}. Licence: {model.licence}")
        return
    known = next((model for model in PUBLISHED if model.name == name), None)
    if url is None and known is None:
        names = ", ".join(model.name for model in PUBLISHED)
        raise click.UsageError(f"{name} is not known: choose from {names}, or set --url")
    digest = sha256 or (None if url or known is None else known.sha256)
    if digest is None:
        what = "no published hash is known" if known and url is None else "the hash isn't known"
        raise click.UsageError(f"{what}, so the file can't be checked: set --sha256")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise click.BadParameter(f"needs 64 hex digits, not {digest}", param_hint="--sha256")
    source = url or (known.url if known else "")
    path = output or Path(".retinue/models") / f"{name}.onnx"
    try:
        with progress("bytes") as advance:
            download(source, path, sha256=digest.lower(), advance=advance)
    except (DownloadError, OSError) as error:
        raise click.ClickException(str(error)) from error
    say = say_beside(as_json=as_json)
    say(f"{path} has SHA-256 {digest.lower()}")
    if known is not None and url is None:
        say(f"licence: {known.licence}\nexpected layout: {known.layout}")
    say(f"check it: retinue models verify {path} photo.jpg")
    if as_json:
        print_json({"file": str(path), "sha256": digest.lower(), "url": source})
