"""``retinue models show``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from retinue_sdk import ConfigurationError

from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.table import print_json, print_table
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_cli.training.local.versions import Version


@click.command(short_help="Show a local version, and check the figures on its card.")
@click.argument("name", metavar="VERSION")
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="Folder of all models.",
)
@json_flag
def show(*, name: str, models: Path, as_json: bool) -> None:
    """Show VERSION: NAME or NAME/NUMBER of a model trained with --on local.

    The accuracy is computed again from the answers on the card. The command fails if it differs
    from the card's, or if the model's file has another hash. For example:

    \b
    retinue models show birds/2
    """  # noqa: D301 - click reads a backspace, not a backslash
    from retinue_cli.training.local.card import is_consistent
    from retinue_cli.training.local.versions import Versions

    folder, _, number = name.partition("/")
    if number and not number.isdecimal():
        raise ConfigurationError(f"{name}: the version must be a number, such as {folder}/1")
    version = Versions(models, folder).find(int(number) if number else None)
    if not version.is_intact():
        raise click.ClickException(f"{version.model} is not the file that the card describes")
    if not is_consistent(version.card):
        raise click.ClickException(f"the figures on {version.folder / 'card.json'} are not right")
    if as_json:
        print_json({key: version.card[key] for key in version.card if key not in _LONG})
        return
    print_scores(version)
    card = version.card
    parts = [one["part"] for one in card["data"]["images"]]
    numbers = ", ".join(f"{parts.count(part):,} {part}" for part in ("train", "validation", "test"))
    click.echo(f"data: {numbers}; from {card['origin']['from']}")
    click.echo(f"base: {card['base']['name']} ({card['base']['licence']})")
    click.echo("the figures follow from the answers on the card")


_LONG = frozenset({"data", "answers"})


def print_scores(version: "Version") -> None:
    """Print the accuracy of a version for each label."""
    card = version.card
    tested = len({one["sha256"] for one in card["answers"]})
    click.echo(
        f"{version.folder}: F1 {version.f1:.3f} on {count(tested, 'image')} that it has never "
        f"seen; {count(card['epochs'], 'epoch')}, ended by {card['stopped']}"
    )
    rows = [
        (
            one["label"],
            f"{one['threshold']:.2f}",
            *(_share(one[name]) for name in ("precision", "recall", "f1", "average_precision")),
            one["true_positives"] + one["false_negatives"],
        )
        for one in card["labels"]
    ]
    print_table(("label", "threshold", "precision", "recall", "F1", "AP", "things"), rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
