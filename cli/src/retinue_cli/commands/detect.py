"""``retinue detect``."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    Result,
    RetinueError,
)
from retinue_sdk.errors import format_error, format_plugin_frames
from retinue_workers.detectors.encoding import FindingsEncoder, InvalidResultError
from retinue_workers.detectors.errors import wrong_type

from retinue_cli.options.detectors import detector_argument, findings_encoder
from retinue_cli.options.json_flag import json_flag, plugins_print_beside
from retinue_cli.options.plugins_dir import installed_plugins, plugins_dir_option
from retinue_cli.output.attributes import EDGES, printable
from retinue_cli.output.picture_names import picture_path
from retinue_cli.output.table import print_json


@click.command(short_help="Try one detector on photographs; record nothing.")
@detector_argument
@click.argument(
    "photographs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".retinue/detect"),
    show_default=True,
    help="Where to save the photographs with boxes.",
)
@plugins_dir_option
@json_flag
def detect(
    *,
    detector: str,
    photographs: tuple[Path, ...],
    options: dict[str, Any],
    pictures: Path,
    plugins_dir: Path | None,
    as_json: bool,
) -> None:
    """Run a DETECTOR on PHOTOGRAPHS, print its detections, and save pictures with boxes.

    A folder means all photographs in it and its subfolders. Nothing is recorded. The exit
    code is 1 if a photograph could not be processed.
    """
    looks: list[Look] = []
    title = ""
    with plugins_print_beside(as_json=as_json):
        [made] = installed_plugins(plugins_dir).make({detector: options})
        files = photograph_files(photographs)
        for look in _looks(made, files, pictures):
            if not as_json:
                model = f", model {look.model_version}" if look.model_version else ""
                before, title = title, f"{made.name} version {made.version}{printable(model)}"
                if title != before:
                    click.secho(title, dim=True)
                print_look(look)
            looks.append(look)
    if as_json:
        print_json([look_as_json(look) for look in looks])
    sys.exit(0 if all(isinstance(look.result, Findings) for look in looks) else 1)


def _looks(
    detector: AnyDetector, files: Sequence[tuple[str, Path]], pictures: Path
) -> Iterator["Look"]:
    """Start the detector, and yield its answer for each photograph.

    Raises:
        ClickException: It doesn't start, or raises what isn't an answer.
    """
    encoder = findings_encoder()
    try:
        with DetectorSession(detector) as session:
            for name, path in files:
                yield look_at(session, encoder, name, path, pictures)
    except (click.ClickException, KeyboardInterrupt, GeneratorExit):
        raise
    except RetinueError as error:
        raise click.ClickException(f"detector {detector.name}: {error}") from error
    except BaseException as error:  # plugins can raise anything, as SystemExit
        raise click.ClickException(
            f"detector {detector.name}:{format_plugin_frames(error)}\n{format_error(error)}"
        ) from error


def photograph_files(given: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return the photographs that the user named, each with a name of its own."""
    found = [file for path in given for file in _photographs(path)]
    if len(given) == 1:
        return found
    paths = [Path(os.path.abspath(path)) for _, path in found]  # noqa: PTH100 - without following links
    common = os.path.commonpath([path.parent for path in paths])
    return [(path.relative_to(common).as_posix(), path) for path in paths]


def _photographs(path: Path) -> list[tuple[str, Path]]:
    """Return the name and path of a photograph, or of each in a folder."""
    if not path.is_dir():
        return [(path.name, path)]
    try:
        from retinue_cli.local.photographs import folder_photographs, passed_over, shown
    except ImportError as error:  # a slim installation
        raise ConfigurationError(
            "folders need the extra `local`: install retinue-cli[local], or name single files "
            f"({error})"
        ) from error
    found = folder_photographs(path)
    if found.others:
        click.echo(passed_over(found.others), err=True)
    for file in found.skipped:
        click.echo(f"not read: {shown(file.path)}: {file.reason}", err=True)
    return [(photograph.key, photograph.path) for photograph in found.photographs]


@dataclass(frozen=True, slots=True)
class Look:
    """A detector's answer for a photograph.

    Attributes:
        name: The photograph's name.
        path: Its path.
        result: The answer.
        picture: The photograph with boxes; ``None`` without detections.
        model_version: The model's version, if the answer or the detector has one.
    """

    name: str
    path: Path
    result: Result
    picture: Path | None
    model_version: str | None


def look_at(
    session: DetectorSession, encoder: FindingsEncoder, name: str, path: Path, pictures: Path
) -> Look:
    """Call the detector, check its answer as the worker does, and draw its detections."""
    model = session.detector.model_version
    try:
        results = session.detect([Image.from_file(path)])
    except DetectorError as error:
        return Look(name, path, error, None, model)
    if len(results) != 1:
        raise ValueError(f"detect returned {len(results)} results for 1 image")
    result = _checked(results[0], encoder)
    if isinstance(result, Findings):
        model = result.model_version or session.detector.model_version
    if not isinstance(result, Findings) or not result.detections:
        return Look(name, path, result, None, model)
    picture = picture_path(pictures, name)
    try:
        _draw(path, result, picture)
    except OSError as error:
        raise click.ClickException(f"cannot write {picture}: {error.strerror}") from error
    return Look(name, path, result, picture, model)


def _checked(result: object, encoder: FindingsEncoder) -> Result:
    """Return the answer, or the error that the worker records instead."""
    if isinstance(result, DetectorError):
        return result
    reason = str(wrong_type(result))
    if isinstance(result, Findings):
        try:
            encoder.encode(result, None)
        except InvalidResultError as error:
            reason = str(error)
        else:
            return result
    return InvalidImageError(reason, code="invalid_result")


def print_look(look: Look) -> None:
    """Print the detections in a photograph."""
    click.secho(printable(look.name), bold=True)
    if not isinstance(look.result, Findings):
        code = f" ({look.result.code})" if isinstance(look.result, InvalidImageError) else ""
        message = printable(str(look.result))
        click.echo(f"  {click.style(type(look.result).__name__, fg='red')}{code}: {message}")
        return
    if not look.result.detections:
        click.echo("  nothing found")
    for found in look.result.detections:
        click.echo(f"  {found.confidence:6.1%}  {printable(found.label)}  ({found.kind})")
        if found.box is not None:
            where = ", ".join(f"{edge} {getattr(found.box, edge):.3f}" for edge in EDGES)
            click.echo(f"          {where}")
        if found.attributes:
            click.echo(f"          {printable(json.dumps(found.attributes, ensure_ascii=False))}")
    if look.picture is not None:
        click.echo(f"  picture: {printable(str(look.picture))}")


def look_as_json(look: Look) -> dict[str, Any]:
    """Return a photograph's findings for programs."""
    failed = not isinstance(look.result, Findings)
    detections = () if isinstance(look.result, DetectorError) else look.result.detections
    return {
        "path": str(look.path.absolute()),
        "outcome": "failed" if failed else "succeeded",
        "error_code": str(look.result.code) if isinstance(look.result, InvalidImageError) else None,
        "error_message": str(look.result) if failed else None,
        "model_version": look.model_version,
        "detections": [
            {
                "kind": found.kind,
                "label": found.label,
                "confidence": found.confidence,
                **{f"box_{edge}": found.box and getattr(found.box, edge) for edge in EDGES},
                "attributes": found.attributes,
            }
            for found in detections
        ],
        "picture": None if look.picture is None else str(look.picture),
    }


def _draw(path: Path, findings: Findings, picture: Path) -> None:
    """Save the photograph with its boxes."""
    # Imported here because only pictures with boxes need Pillow's fonts.
    from retinue_cli.output.draw import draw

    draw(path, findings.detections, picture)
