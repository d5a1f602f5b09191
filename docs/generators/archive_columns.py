"""Render the table of columns in docs/archive.md from the archive's schema.

``python docs/generators/archive_columns.py`` prints it.
"""

import sys

from retinue_cli.data.archive.files import schema
from retinue_history.schema.tables import metadata

_ATHENA = {
    "string": "string",
    "int32": "int",
    "int64": "bigint",
    "double": "double",
    "timestamp[us, tz=UTC]": "timestamp",
}
"""The types of Athena, Hive and Spark, by Arrow's."""


def athena_columns() -> dict[str, str]:
    """Return the type of each column in Athena."""
    return {field.name: _ATHENA[str(field.type)] for field in schema()}


def archive_columns() -> str:
    """Return the table as Markdown."""
    lines = ["| column | Arrow | Athena, Hive, Spark | |", "|---|---|---|---|"]
    for field in schema():
        kind = str(field.type)
        lines.append(f"| `{field.name}` | {kind} | {_ATHENA[kind]} | {_comment(field.name)} |")
    return "\n".join(lines)


def _comment(column: str) -> str:
    for table in ("detections", "runs", "images"):
        if column in metadata.tables[table].columns:
            return metadata.tables[table].columns[column].comment or ""
    raise KeyError(column)


if __name__ == "__main__":
    sys.stdout.write(archive_columns() + "\n")
