"""``retinue models verify``."""

import sys
from pathlib import Path
from typing import Any

import click
from retinue_sdk import ConfigurationError, DetectorSession, Findings, RetinueError
from retinue_sdk.errors import format_error

from retinue_cli.commands.detect import look_as_json, look_at, photograph_files, print_look
from retinue_cli.options.detectors import findings_encoder, json_options
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.plugins_dir import installed_plugins
from retinue_cli.output.attributes import printable
from retinue_cli.output.table import print_json

DETECTORS = ("onnx-objects", "onnx-labels")


@click.command(short_help="Run an ONNX model on photographs and check its answers.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument(
    "photographs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option(
    "--detector",
    type=click.Choice(DETECTORS),
    default=DETECTORS[0],
    show_default=True,
    help="Detector that reads the model: onnx-labels for a classifier.",
)
@json_options
@click.option(
    "--expected",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Reference answers: COCO ground truth, or the output of `retinue detect --json`.",
)
@click.option(
    "--min-iou",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Minimum intersection over union of a box with its reference.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".retinue/verify"),
    show_default=True,
    help="Where to save the photographs with boxes.",
)
@json_flag
def verify(
    *,
    model: Path,
    photographs: tuple[Path, ...],
    detector: str,
    options: dict[str, Any],
    expected: Path | None,
    min_iou: float,
    pictures: Path,
    as_json: bool,
) -> None:
    """Show how a detector reads the ONNX file MODEL, and what it finds in PHOTOGRAPHS.

    Look at the saved pictures: wrong preprocessing raises no error but moves or misses boxes. With
    --expected, the exit code is 1 if an answer differs. Detections within 0.05 of the threshold
    aren't compared.
    """
    from retinue_cli.data.reference_answers import differences, read_expected

    answers = None if expected is None else read_expected(expected)
    [made] = installed_plugins(None).make({detector: {**options, "model": str(model)}})
    looks, wrong = [], {}
    files, encoder = photograph_files(photographs), findings_encoder()
    try:
        with DetectorSession(made) as session:
            facts: Any = made.describe()
            if not as_json:
                _print_facts(facts)
            for name, path in files:
                look = look_at(session, encoder, name, path, pictures)
                looks.append(look)
                if not isinstance(look.result, Findings):
                    wrong[name] = [str(look.result)]
                elif answers is not None and path.name not in answers:
                    wrong[name] = [f"{expected} has no answer for it"]
                elif answers is not None:
                    wrong[name] = differences(
                        answers[path.name],
                        look.result.detections,
                        min_iou=min_iou,
                        threshold=facts["threshold"],
                    )
                if not as_json:
                    print_look(look)
                    for sentence in wrong.get(name, []):
                        click.secho(f"  {printable(sentence)}", fg="red")
    except ConfigurationError:
        raise
    except RetinueError as error:
        raise click.ClickException(format_error(error)) from error
    failed = any(wrong.values())
    if as_json:
        photos = [{**look_as_json(look), "differences": wrong.get(look.name, [])} for look in looks]
        print_json({"model": facts, "pictures": photos, "matches": not failed})
    elif answers is not None and not failed:
        click.echo(f"all {len(looks)} answers match {expected}")
    sys.exit(1 if failed else 0)


def _print_facts(facts: Any) -> None:
    for name, value in facts.items():
        if name in ("inputs", "outputs"):
            value = "; ".join(f"{one['name']} {one['type']} {one['shape']}" for one in value)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        click.echo(f"{name + ':':<16}{printable(str(value))}")
