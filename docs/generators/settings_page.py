"""Render docs/settings.md from the settings model.

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

`python docs/generators/settings_page.py` prints this page from the settings model.

A worker reads its settings from environment variables when it starts. It refuses to start with a
value out of range, or with a variable whose name is almost that of a setting. The message names the
problem. Other variables are ignored, such as those that Kubernetes sets for a service named
`retinue` (`{prefix}SERVICE_HOST`). Values like `tcp://10.0.0.7:8080` are ignored, too: Kubernetes
sets `{prefix}HEALTH_PORT` to one for a service named `retinue-health`. Write JSON as in
`{prefix}ROUTES='{{"onnx-faces": {{"key": "people/*"}}}}'`.
"""

_TAIL = """\
## Naming detectors

`{prefix}DETECTORS`, `--detectors` and a command's argument DETECTOR have the same syntax:

| form | example |
|---|---|
| names | `onnx-objects,onnx-faces` |
| names with options | `onnx-objects:threshold=0.5,labels=["cat","dog"],onnx-faces` |
| JSON | `{{"onnx-objects": {{"threshold": 0.5}}, "onnx-faces": {{}}}}` |

An option belongs to the name before it. Its value is JSON if it parses as JSON, and otherwise the
text up to the next comma. Detectors in `--detectors` keep their options of `{prefix}DETECTORS`,
except those that `--detectors` sets.

## Heartbeat and visibility timeout

`{prefix}HEARTBEAT_SECONDS` must be at most half of `{prefix}VISIBILITY_TIMEOUT_SECONDS`. Otherwise
a message could reappear in the queue while a detector still processes its images.

## Settings of each command

- `retinue worker` reads all settings. It needs `{prefix}QUEUE_URL`, `{prefix}DATABASE_URL` and
  `{prefix}DETECTORS`.
- `retinue run` reads `{prefix}DETECTORS`, unless you pass `--detectors`. Routes, isolation, budgets
  and hosted models apply to these detectors. The command sets its worker's queue, database and log
  format, and limits the wait of a receive and the grace period to one second. Its worker reads all
  other settings.
- `retinue query` reads `{prefix}QUERY_DATABASE_URL`, or else `{prefix}DATABASE_URL`. With neither,
  it uses the database under `.retinue`.
- `retinue migrate` reads `{prefix}DATABASE_URL`, or else uses the database under `.retinue`.
- `retinue console` reads `{prefix}QUERY_DATABASE_URL` as `retinue query` does, and
  `{prefix}MAX_IMAGE_BYTES` and `{prefix}MAX_IMAGE_PX` for its pictures.
- All of them use `{prefix}DATABASE_AUTH` to authenticate to the database.

`retinue plugins` lists the options of each detector.

## The database

Retinue needs PostgreSQL 15 or later, and a database in the encoding UTF8. In a URL, percent-encode
every character other than letters, digits and `-._~`: a space in a password is `%20`. Query
parameters are libpq's.

Workers can connect through a pooler, without any setting. PgBouncer works in its modes `session`
and `transaction`, which the tests run. Amazon RDS Proxy hasn't been tested.

- Allow at least two connections to the server, which `retinue migrate`, `maintain` and `forget`
  need.
- PgBouncer's mode `statement` forbids transactions. Workers and commands refuse it.
- Give Retinue a login that no other program uses. In the mode `transaction`, Retinue's time limit
  for statements can stay in the sessions of that login.

## AWS

boto3 reads region, credentials and endpoint from AWS's standard configuration:
`AWS_DEFAULT_REGION`, `AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL`, the files under `~/.aws`, or the role of an ECS task.
`retinue run` never connects to AWS. It uses an emulator on this machine, or the LocalStack in
`AWS_ENDPOINT_URL` or `LOCALSTACK_HOST` (with `EDGE_PORT` and `USE_SSL`).
"""


def settings_page() -> str:
    """Return the page as Markdown."""
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
    """Return the row of a setting: its variable, type, default, range and description."""
    field = {**schema, **_given(schema)}
    default = schema.get("default")
    text = (
        ""
        if default in (None, "", [])
        else f"`{json.dumps(default) if default == {} else default}`"
    )
    cells = [
        f"`{prefix}{name.upper()}`",
        _type(field),
        text,
        ", ".join(_range(field)),
        " ".join(schema["description"].replace("``", "`").split()).replace("|", r"\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _given(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an optional setting without null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if choices else schema


def _type(field: Mapping[str, Any]) -> str:
    """Return the kind of the variable's value, such as ``word``."""
    if "enum" in field:
        return "word"
    if field.get("format") == "password":
        return "secret text"
    names = {"string": "text", "integer": "integer", "number": "number", "object": "JSON"}
    names["array"] = "list, with commas"
    return names[field["type"]]


def _range(field: Mapping[str, Any]) -> Iterator[str]:
    """Yield the bounds of a value in words."""
    yield from (f"`{value}`" for value in field.get("enum", ()))
    if "exclusiveMinimum" in field:
        yield f"above {field['exclusiveMinimum']:,}"
    if "minimum" in field and "maximum" in field:
        yield f"{field['minimum']:,} to {field['maximum']:,}"
    elif "minimum" in field:
        yield f"{field['minimum']:,} or more"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
