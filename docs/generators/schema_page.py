"""Renders docs/schema.md from a migrated database's own comments.

``python docs/generators/schema_page.py postgresql://…`` prints it.
"""

import re
import sys
from collections.abc import Iterator

from retinue_history.db.engine import create_history_engine, map_engine_errors
from retinue_history.schema.introspect import Relation, functions, relations

_HEAD = """\
# The schema

Printed from a migrated database by `python docs/generators/schema_page.py`; a test compares.

The views are the public interface: they keep their names and columns when tables change. Analysts
read through the role `retinue_reader` (views and tables, read only, 30 s a statement); workers
write through the role `retinue_writer`.

## What "latest" means

`latest_detections`, `latest_runs` and all that builds on them have one run for each image and
detector: the newest successful run with a version and options that are **in use**. A worker records
what its pool uses when it starts (`configurations_in_use`). So options that were tried and dropped
don't hide what is wanted, even if their runs are newer.

- During a deployment, and where pools use a detector with different options, several configurations
  are in use. Then the newest run with any of them counts.
- An image that has no run with options in use shows its newest run.
- A detector that a pool no longer uses keeps its last options in use. So does a pool that is gone:
  delete its rows from `configurations_in_use`.

For the newest run whatever its options, query `newest_runs`. To ask for certain options, add their
`fingerprint`, which `detector_versions` lists:

```sql
SELECT key, detection_history.detector, label
FROM newest_runs JOIN detection_history USING (run_id, key)
```

Runs with the model version `emulator` are invented: `retinue run` starts an emulator for detectors
that call a paid service. They are in `detection_history`. The other views of detections, costs and
counts leave them out.

## Tables at a glance
"""


def schema_page(url: str) -> str:
    """The page as Markdown.

    Args:
        url: A migrated database.

    Raises:
        HistoryUnavailableError: It cannot be reached.
    """
    engine = create_history_engine(url, application_name="retinue schema page", pool_size=1)
    try:
        with map_engine_errors(), engine.connect() as connection:
            found = relations(connection)
            known_functions = functions(connection)
    finally:
        engine.dispose()
    # Alembic's own table comes last: it says nothing about images.
    tables = sorted((r for r in found if not r.is_view), key=lambda r: r.name == "alembic_version")
    lines = [_HEAD, *_diagram(tables), "", "## Views", ""]
    for view in found:
        if view.is_view:
            lines += _section(view)
    lines += ["## Tables", ""]
    for table in tables:
        lines += _section(table)
    lines += ["## Functions", ""]
    for function in known_functions:
        lines += [f"- `{function.signature}`: {function.comment or ''}"]
    return "\n".join(lines) + "\n"


def _diagram(tables: list[Relation]) -> Iterator[str]:
    yield "```mermaid"
    yield "erDiagram"
    named = set()
    for table in tables:
        for target, through in table.references:
            named |= {target, table.name}
            yield f'    {target} ||--o{{ {table.name} : "{through}"'
    for table in tables:
        if table.name not in named:
            continue  # refers to nothing, and would make the rest small
        yield f"    {table.name} {{"
        for column in table.columns:
            # Mermaid wants one word for a type.
            yield f"        {re.sub(r'[^a-z0-9]+', '_', column.type).strip('_')} {column.name}"
        yield "    }"
    yield "```"


def _section(relation: Relation) -> Iterator[str]:
    yield f"### {relation.name}"
    yield ""
    yield f"{relation.comment or ''}."
    yield ""
    # Postgres does not know which columns of a view can be null.
    yield "| column | type | |" if relation.is_view else "| column | type | null | |"
    yield "|---|---|---|" if relation.is_view else "|---|---|---|---|"
    for column in relation.columns:
        cells = [f"`{column.name}`", column.type]
        if not relation.is_view:
            cells.append("yes" if column.nullable else "")
        cells.append((column.comment or "").replace("|", r"\|"))
        yield f"| {' | '.join(cells)} |"
    yield ""
    for title, definitions in (
        ("Constraints", relation.constraints),
        ("Indexes", relation.indexes),
    ):
        if definitions:
            yield f"{title}:"
            yield ""
            yield from (f"- `{definition}`" for definition in definitions)
            yield ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/generators/schema_page.py postgresql://…")
    sys.stdout.write(schema_page(sys.argv[1]))
