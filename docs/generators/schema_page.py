"""Render docs/schema.md from the comments of a migrated database.

``python docs/generators/schema_page.py postgresql://…`` prints it.
"""

import re
import sys
from collections.abc import Iterator

from retinue_history.db.engine import create_history_engine, map_engine_errors
from retinue_history.schema.introspect import Relation, functions, relations

_HEAD = """\
# The schema

Generated from a migrated database by `python docs/generators/schema_page.py`.

The views are the public interface. They keep their names and columns when tables change. Analysts
read views and tables as the role `retinue_reader`, with a limit of 30 seconds a statement. Workers
write as the role `retinue_writer`. The console writes reviews as the role `retinue_reviewer`, which
may call functions and read nothing.

## What "latest" means

`latest_detections`, `latest_runs` and the views built on them show one run per image and detector:
the newest successful run whose version and options are **in use**. When a worker starts, it records
the versions and options of its pool in `configurations_in_use`. Options that you tried and dropped
don't hide the runs you want, even if they ran later.

- If several configurations of a detector are in use, during a deployment or in different pools, the
  newest run with any of them counts.
- If an image has no run with a configuration in use, its newest run counts.
- When a pool drops a detector or is deleted, its rows stay in `configurations_in_use`. To take its
  configurations out of use, run `DELETE FROM configurations_in_use WHERE pool = 'arn:…'` as the
  owner of the tables. A worker that still uses them records them again when it starts.

For the newest runs with any options, query `newest_runs`. To select certain options, filter by
their `fingerprint`, which `detector_versions` lists:

```sql
SELECT key, detection_history.detector, label
FROM newest_runs JOIN detection_history USING (run_id, key)
```

Runs with the model version `emulator` are invented, because `retinue run` replaces paid services
with an emulator. `detection_history` includes them. Other views of detections, costs and counts
exclude them.

## Tables at a glance

The diagrams show keys and a few telling columns. [Tables](#tables) lists all of them. A dashed line
is a join without a foreign key.
"""

_DIAGRAMS: dict[str, dict[str, tuple[str, ...]]] = {
    "Images, runs and detections": {
        "images": ("bucket", "key", "version"),
        "removals": ("bucket", "key"),
        "runs": ("detector", "outcome"),
        "detections": ("run_id", "label", "confidence"),
        "labels": (),
        "label_parents": (),
    },
    "Videos and jobs": {
        "videos": ("duration_ms", "codec"),
        "jobs": ("token", "look_at"),
    },
    "Ground truth and reviews": {
        "truths": ("name", "exhaustive"),
        "truth_items": ("kind", "label"),
        "review_queues": ("name", "strategy"),
        "review_images": ("role", "state"),
        "review_leases": ("person", "expires_at"),
        "answers": ("person", "verdict"),
        "answer_items": ("decision", "label"),
        "audit_log": ("person", "act"),
    },
    "Configurations and counts": {
        "detector_configurations": ("options",),
        "configurations_in_use": ("fingerprint",),
        "label_counts": ("label", "detections"),
        "run_counts": ("detector", "runs"),
    },
    "People and faces": {
        "people": ("name", "consent"),
        "faces": ("photo",),
    },
    "Erasures": {
        "erasures": ("subject_kind", "completed_at"),
        "erased_names": (),
        "erased_images": ("erased_until",),
        "erasure_salt": (),
    },
    "Quotas and costs": {
        "quotas": ("limit_rps",),
        "quota_leases": ("share_rps", "expires_at"),
        "monthly_spending": ("price_usd",),
    },
    "Hosted models": {
        "models": ("status", "holder"),
        "model_sessions": ("running_at", "stopped_at"),
    },
    "Archive": {
        "archived_months": ("archive", "archived_at"),
    },
}
"""The tables of each diagram, with the columns to show beside the keys."""

_JOINS = {
    "removals": 'images |o..o{ removals : "bucket, key, version"',
    "detections": 'runs ||..o{ detections : "run_id"',
    "labels": 'labels |o..o{ detections : "label, kind"',
    "label_parents": 'labels ||..o{ label_parents : "label"',
    "configurations_in_use": "detector_configurations ||..o{ configurations_in_use"
    ' : "detector, version, fingerprint"',
    "model_sessions": 'models ||..o{ model_sessions : "model"',
}
"""Joins without a foreign key, by the table whose diagram shows them."""

_NOT_DRAWN = {"record_locks", "alembic_version"}


def schema_page(url: str) -> str:
    """Return the page as Markdown.

    Args:
        url: A migrated database.

    Raises:
        HistoryUnavailableError: It can't be reached.
        ValueError: A table is in no diagram.
    """
    engine = create_history_engine(url, application_name="retinue schema page", pool_size=1)
    try:
        with map_engine_errors(), engine.connect() as connection:
            found = relations(connection)
            known_functions = functions(connection)
    finally:
        engine.dispose()
    # Alembic's own table comes last, because it has no data about images.
    tables = sorted((r for r in found if not r.is_view), key=lambda r: r.name == "alembic_version")
    lines = [_HEAD, *_diagrams({table.name: table for table in tables}), "## Views", ""]
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


def _diagrams(tables: dict[str, Relation]) -> Iterator[str]:
    drawn = {name for diagram in _DIAGRAMS.values() for name in diagram}
    if missing := tables.keys() - drawn - _NOT_DRAWN:
        raise ValueError(f"add these tables to a diagram: {', '.join(sorted(missing))}")
    for title, diagram in _DIAGRAMS.items():
        yield from (f"### {title}", "", "```mermaid", "erDiagram")
        for name in diagram:
            for target, through in tables[name].references:
                yield f'    {target} ||--o{{ {name} : "{through}"'
            if name in _JOINS:
                yield f"    {_JOINS[name]}"
        for name, telling in diagram.items():
            yield from _entity(tables[name], telling)
        yield from ("```", "")


def _entity(table: Relation, telling: tuple[str, ...]) -> Iterator[str]:
    keys: dict[str, list[str]] = {name: [] for name in telling}
    for constraint in table.constraints:
        if found := re.match(r"(PRIMARY|FOREIGN) KEY \((.+?)\)", constraint):
            for name in found[2].split(", "):
                keys.setdefault(name, []).append(f"{found[1][0]}K")
    types = {column.name: column.type for column in table.columns}
    yield f"    {table.name} {{"
    for name in sorted(keys, key=list(types).index):
        type_ = types[name].replace("timestamp with time zone", "timestamptz")
        one_word = type_.replace(" ", "_")  # Mermaid allows no spaces
        yield f"        {one_word} {name} {', '.join(keys[name])}".rstrip()
    yield "    }"


def _section(relation: Relation) -> Iterator[str]:
    yield f"### {relation.name}"
    yield ""
    yield f"{relation.comment or ''}."
    yield ""
    # Postgres has no information on nulls in columns of views.
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
