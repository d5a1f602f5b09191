"""Renders docs/settings.md from the settings model.

``python docs/generators/settings_page.py`` prints it.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from retinue_console.settings import PREFIX as CONSOLE_PREFIX
from retinue_console.settings import ConsoleSettings
from retinue_workers.settings.settings import PREFIX, Settings

_HEAD = """\
# Settings

Printed from the settings model by `python docs/generators/settings_page.py`; a test compares.

A worker reads its settings from environment variables, once, when it starts. It refuses to start
with a value outside its range, or with a variable whose name is nearly that of a setting. The
message names both. Other variables are ignored, such as those that Kubernetes sets for a service
called `retinue` (`{prefix}SERVICE_HOST`), and so is any value like `tcp://10.0.0.7:8080`, which
Kubernetes gives `{prefix}HEALTH_PORT` for a service called `retinue-health`. Write JSON as in
`{prefix}ROUTES='{{"onnx-faces": {{"key": "people/*"}}}}'`.
"""

_TAIL = """\
## Naming detectors

`{prefix}DETECTORS`, `--detectors` and the argument DETECTOR of a command are read alike:

| form | example |
|---|---|
| names | `onnx-objects,onnx-faces` |
| names with options | `onnx-objects:threshold=0.5,labels=["cat","dog"],onnx-faces` |
| JSON | `{{"onnx-objects": {{"threshold": 0.5}}, "onnx-faces": {{}}}}` |

An option belongs to the name before it. Its value is JSON if it reads as JSON, and otherwise the
text up to the next comma. A detector that `--detectors` names keeps its options of
`{prefix}DETECTORS`, apart from those given.

## Heartbeat and visibility timeout

`{prefix}HEARTBEAT_SECONDS` must be at most half of `{prefix}VISIBILITY_TIMEOUT_SECONDS`. Otherwise
a message could appear again in the queue while a detector still works for it.

## Which commands read what

- `retinue worker` reads all of them. It needs `{prefix}QUEUE_URL`, `{prefix}DATABASE_URL` and
  `{prefix}DETECTORS`.
- `retinue run` reads `{prefix}DETECTORS`; `--detectors` replaces it. Routes, isolation, budgets and
  hosted models apply to the detectors that result. The command gives its worker a queue and a
  database of its own, a receive and a grace of at most a second, and JSON logs; the rest its worker
  reads as usual.
- `retinue query` reads `{prefix}QUERY_DATABASE_URL`, or else `{prefix}DATABASE_URL`. With neither,
  it asks the database under `.retinue`.
- `retinue migrate` reads `{prefix}DATABASE_URL`, or else means the database under `.retinue`.
- `retinue console` reads `{prefix}QUERY_DATABASE_URL` as `retinue query` does, and
  `{prefix}MAX_IMAGE_BYTES` and `{prefix}MAX_IMAGE_PX` for its pictures.
- All of them sign in to the database as `{prefix}DATABASE_AUTH` says.

Each detector has options of its own. `retinue plugins` lists them.

## The database

PostgreSQL 15 or later, with a database in the encoding UTF8. In a URL, percent-encode every
character other than letters, digits and `-._~`: a space in a password is `%20`. Query parameters
are libpq's.

A pooler may be in between; no setting is needed. PgBouncer works in its modes `session` and
`transaction`, and the tests run both. Amazon RDS Proxy was not tried.

- Allow at least two connections to the server. `retinue migrate`, `maintain` and `forget` use two
  at the same time.
- PgBouncer's mode `statement` forbids transactions. Workers and commands refuse it.
- Give Retinue a login that no other program uses. In the mode `transaction`, Retinue's time limit
  for statements can stay in the sessions of that login.

## AWS

Region, credentials and endpoint are AWS's own settings, and boto3 reads them:
`AWS_DEFAULT_REGION`, `AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL`, the files under `~/.aws`, or the role of an ECS task.
`retinue run` never uses them to reach AWS: it talks to an emulator on this machine, or to the
LocalStack that `AWS_ENDPOINT_URL` or `LOCALSTACK_HOST` (with `EDGE_PORT` and `USE_SSL`) names.
"""


def settings_page() -> str:
    """The page as Markdown."""
    lines = [
        "## All settings",
        "",
        *_table(Settings, PREFIX),
        "",
        "## The console's settings",
        "",
        "`retinue console` reads these too.",
        "",
        *_table(ConsoleSettings, CONSOLE_PREFIX),
        "",
    ]
    return "\n".join([_HEAD.format(prefix=PREFIX), *lines, _TAIL.format(prefix=PREFIX)])


def _table(model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield "| variable | type | default | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for name, schema in model.model_json_schema()["properties"].items():
        yield _row(prefix, name, schema)


def _row(prefix: str, name: str, schema: Mapping[str, Any]) -> str:
    """One setting: its variable, and what the model knows about it."""
    field = {**schema, **_given(schema)}
    default = schema.get("default")
    cells = [
        f"`{prefix}{name.upper()}`",
        _type(field),
        "" if default in (None, "") else f"`{default if default != {} else json.dumps(default)}`",
        ", ".join(_range(field)),
        " ".join(schema["description"].replace("``", "`").split()).replace("|", r"\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _given(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a value that is given, for a setting that may be left out."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if choices else schema


def _type(field: Mapping[str, Any]) -> str:
    """Return what to write into the variable."""
    if "enum" in field:
        return "word"
    if field.get("format") == "password":
        return "secret text"
    names = {"string": "text", "integer": "integer", "number": "number", "object": "JSON"}
    return names[field["type"]]


def _range(field: Mapping[str, Any]) -> Iterator[str]:
    """The bounds of a value, in words."""
    yield from (f"`{value}`" for value in field.get("enum", ()))
    if "exclusiveMinimum" in field:
        yield f"above {field['exclusiveMinimum']:,}"
    if "minimum" in field and "maximum" in field:
        yield f"{field['minimum']:,} to {field['maximum']:,}"
    elif "minimum" in field:
        yield f"{field['minimum']:,} or more"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
