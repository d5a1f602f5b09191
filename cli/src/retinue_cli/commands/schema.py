"""``retinue schema``."""

from dataclasses import asdict

import click
from retinue_history.db.engine import create_history_engine, map_engine_errors
from retinue_history.schema.introspect import Relation, relations
from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import did_you_mean
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.output.table import print_json, print_table


@click.command(short_help="Describe the views and their columns.")
@click.argument("view", required=False)
@json_flag
def schema(*, view: str | None, as_json: bool) -> None:
    """List the views of the detection history. With a VIEW, list its columns.

    Tables can be described, too, but may change. Views keep their names and columns.
    """
    with reader_url(Settings.load()) as url:
        found = _relations(url)
    if view is not None:
        relation = _find(view, found)
        if as_json:
            print_json(_described(relation))
            return
        click.echo(f"{_sentence(relation.comment)}\n")
        print_table(
            ("column", "type", "meaning"),
            [(column.name, column.type, column.comment) for column in relation.columns],
        )
        return
    views = sorted((each for each in found if each.is_view), key=lambda each: each.name)
    if as_json:
        print_json([_described(each) for each in views])
        return
    print_table(
        ("view", "rows"), [(each.name, _sentence(each.comment).split(". ")[0]) for each in views]
    )
    click.echo("`retinue schema VIEW` describes the columns of one of them")


def _relations(url: str) -> list[Relation]:
    engine = create_history_engine(url, application_name="retinue schema", pool_size=1)
    try:
        with map_engine_errors(), engine.connect() as connection:
            return relations(connection)
    finally:
        engine.dispose()


def _find(name: str, found: list[Relation]) -> Relation:
    """Return the view or table with a name.

    Raises:
        ConfigurationError: It doesn't exist. The message has the most similar name.
    """
    by_name = {each.name: each for each in found}
    if name.lower() in by_name:  # SQL ignores case, too
        return by_name[name.lower()]
    meant = did_you_mean(name, by_name) or ": `retinue schema` lists them"
    raise ConfigurationError(f"the history has no view {name!r}{meant}")


def _described(relation: Relation) -> dict[str, object]:
    return {
        "name": relation.name,
        "comment": relation.comment,
        "columns": [asdict(column) for column in relation.columns],
    }


def _sentence(comment: str | None) -> str:
    """Return a comment of the schema as text for a terminal."""
    return (comment or "").replace("`", "")
