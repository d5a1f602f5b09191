"""Render docs/plugin-reference.md from the hooks and the installed detectors.

``python docs/generators/plugin_reference.py`` prints it.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from typing import Any

from retinue_cli.output.detector_sheet import bounds, describe, kind
from retinue_sdk import hookspecs
from retinue_sdk.plugins.manager import Plugins

DISTRIBUTIONS = ("retinue-onnx", "retinue-rekognition")
"""The plugins that come with Retinue."""

_HEAD = """\
# Hooks and options

`python docs/generators/plugin_reference.py` prints this page from the code.

## Hooks

A plugin implements a hook with a function of the same name, marked with `@hookimpl` of
`retinue_sdk`. The function may omit arguments, so hooks can get new ones without breaking plugins.
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD]
    for name, hook in sorted(vars(hookspecs).items()):
        if name.startswith("retinue_") and inspect.isfunction(hook):
            arguments = ", ".join(inspect.signature(hook).parameters)
            lines += [f"### `{name}({arguments})`", "", _markdown(inspect.getdoc(hook) or ""), ""]
    lines += ["## Detectors and their options", ""]
    lines += ["An operational option doesn't change the findings. After a change, images aren't"]
    lines += ["processed again.", ""]
    for name, registration in sorted(Plugins().registrations.items()):
        if registration.distribution in DISTRIBUTIONS:
            sheet = describe(registration)
            lines += [f"### {name}", "", f"{sheet['summary']} From `{sheet['distribution']}`.", ""]
            lines += ["| option | type and range | default | meaning |", "|---|---|---|---|"]
            lines += [_row(option, schema) for option, schema in sheet["options"].items()]
            lines += [""]
    return "\n".join(lines)


def _row(name: str, schema: dict[str, Any]) -> str:
    facts = [kind(schema), *(f"matching `{form}`" for form in _patterns(schema))]
    facts[1:1] = [fact for fact in bounds(schema) if not fact.startswith("matching ")]
    if schema["operational"]:
        facts.append("operational")
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "required"
    cells = (f"`{name}`", ", ".join(facts), default, _markdown(schema.get("description", "")))
    return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"


def _patterns(schema: dict[str, Any]) -> Iterator[str]:
    for form in (schema, *schema.get("anyOf", ())):
        if "pattern" in form:
            yield form["pattern"]


def _markdown(text: str) -> str:
    """Return a docstring as Markdown, with each paragraph on one line."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs).replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(reference_page())
