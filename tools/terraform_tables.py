"""Write the inputs and outputs of Terraform's modules: ``python -m tools.terraform_tables``.

Each module's README.md gets two tables, between two markers; a module without one gets a page with
the first comment of its main.tf. ``--check`` writes nothing, and fails if a table is out of date.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hcl2

INFRA = Path(__file__).parents[1] / "infra"
BEGIN = "<!-- python -m tools.terraform_tables writes from here -->\n"
END = "<!-- to here -->\n"


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or check them. Return the exit code."""
    old = []
    for folder in [INFRA, INFRA / "bootstrap", *sorted((INFRA / "modules").iterdir())]:
        file = folder / "README.md"
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        after = page(folder, before)
        if before == after:
            continue
        old.append(str(file.relative_to(INFRA.parent)))
        if "--check" not in arguments:
            file.write_text(after, encoding="utf-8")
    if old and "--check" in arguments:
        sys.stderr.write(f"out of date: {', '.join(old)}. Run python -m tools.terraform_tables\n")
        return 1
    return 0


def page(folder: Path, before: str) -> str:
    """Return a module's README.md with new tables.

    Args:
        folder: The module.
        before: The present page; empty if there is none.
    """
    written = f"{BEGIN}\n{tables(folder)}\n\n{END}"
    if BEGIN in before:
        start, _, rest = before.partition(BEGIN)
        return start + written + rest.partition(END)[2]
    comment = re.match(r"(?:#.*\n)+", (folder / "main.tf").read_text(encoding="utf-8"))
    lines = comment[0].replace("# ", "") if comment else ""
    return f"# {folder.name}\n\n{lines}\n{written}"


def tables(folder: Path) -> str:
    """Return a module's inputs and outputs as Markdown tables."""
    inputs = [
        f"| `{name}` | {_type(about['type'])} | {_default(about)} | {_text(about['description'])} |"
        for name, about in _blocks(folder, "variable")
    ]
    outputs = [
        f"| `{name}` | {_text(about['description'])} |" for name, about in _blocks(folder, "output")
    ]
    return "\n".join(
        ["| input | type | default | description |", "|---|---|---|---|", *inputs, ""]
        + (["| output | description |", "|---|---|", *outputs, ""] if outputs else [])
    ).rstrip("\n")


def _blocks(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and attributes of a module's variables or outputs, by name."""
    found = {}
    for file in folder.glob("*.tf"):
        with file.open(encoding="utf-8") as text:
            for block in hcl2.load(text).get(kind, ()):
                for name, about in block.items():
                    found[name.strip('"')] = about
    yield from sorted(found.items())


def _type(text: str) -> str:
    """Return a type; of one with attributes, only what holds them."""
    plain = text.removeprefix("${").removesuffix("}").strip('"')
    return f"`{re.sub(r'object[(].*[}][)]', 'object', plain)}`"


def _default(about: dict[str, Any]) -> str:
    if "default" not in about:
        return "required"
    value = about["default"]
    if isinstance(value, str):
        value = value.removeprefix("${").removesuffix("}")
        return f"`{value}`"
    if isinstance(value, dict):
        return "`{ … }`" if value else "`{}`"
    return f"`{json.dumps(value)}`"


def _text(description: str) -> str:
    """Return a description on one line; a list in it as sentences."""
    plain = description.strip('"')
    if plain.startswith("<<-EOT"):
        plain = plain.removeprefix("<<-EOT").removesuffix("EOT")
        plain = re.sub(r"\n\s*- ", "; ", plain)
        plain = re.sub(r"\.\s*; ", ": ", plain, count=1)
    plain = plain.replace('\\"', '"')
    return re.sub(r"\s+", " ", plain).strip().replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
