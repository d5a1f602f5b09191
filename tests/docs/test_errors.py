"""The page of error codes lists the codes that the source can record, each once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from generators.errors_page import errors_page

SOURCES = ("sdk/src", "workers/src", "cli/src", "plugins/onnx/src", "plugins/rekognition/src")
FIRST_ARGUMENT = {"Fail", "_give_up", "_restart_or_fail"}
"""Callables whose first argument is an error code; elsewhere codes are given by name."""

ROW = re.compile(r"^\| `([a-z_]+)` \| [^|]+ \| (yes|no|as the detector says) \|", re.MULTILINE)


def recorded(tree: ast.Module) -> Iterator[str]:
    """Yield the error codes that occur in a module, in words or by the name of a constant."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def texts(node: ast.expr | None) -> Iterator[str]:
        if isinstance(node, ast.Name):
            node = constants.get(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value

    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else None
            if name in FIRST_ARGUMENT and node.args:
                yield from texts(node.args[0])
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from texts(keyword.value)
        elif isinstance(node, ast.arguments):
            for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if argument.arg == "code":
                    yield from texts(default)


def test_the_page_lists_the_codes_of_the_source(root: Path) -> None:
    in_source = {
        code
        for source in SOURCES
        for file in (root / source).rglob("*.py")
        for code in recorded(ast.parse(file.read_text(encoding="utf-8")))
    }
    on_page = [code for code, _ in ROW.findall((root / "docs/errors.md").read_text("utf-8"))]
    assert sorted(on_page) == sorted(in_source)


def test_the_page_is_up_to_date(root: Path) -> None:
    page = (root / "docs/errors.md").read_text("utf-8")
    renew = "renew it: .venv/bin/python docs/generators/errors_page.py > docs/errors.md"
    assert page == errors_page(), renew
