"""Check the prose of pages, docstrings, comments and messages: ``python -m tools.prose``.

``prose.toml`` lists the phrases, and suggests others.
"""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = Path(__file__).with_suffix(".toml")

_CODE = re.compile(r"^( *)```.*?^\1```|`+[^`\n]+`+|<!--.*?-->", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that people read.

    Attributes:
        line: Number of its first line, from 1.
        text: The text; code in it is blank.
        documents: ``function``, or ``other`` for a module or class; empty if it isn't a docstring.
    """

    line: int
    text: str
    documents: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A phrase to avoid.

    Attributes:
        pattern: A regular expression; a space matches any white space.
        instead: Replacement to suggest.
        most: How often it may still occur; lower it whenever you remove one.
        opener: ``all`` to count only docstrings that begin with it, or ``functions`` for those of
            functions; empty to count every occurrence.
        docstrings: Whether to count only occurrences in docstrings.
    """

    pattern: str
    instead: str
    most: int = 0
    opener: str = ""
    docstrings: bool = False

    def find(self, text: Text) -> Iterator[tuple[int, str]]:
        """Yield line and text of each occurrence."""
        pattern = re.compile(self.pattern.replace(" ", r"\s+"), 0 if self.opener else re.IGNORECASE)
        if self.opener:
            counts = bool(text.documents) if self.opener == "all" else text.documents == "function"
            found = pattern.match(text.text) if counts else None
            matches = [found] if found else []
        elif self.docstrings and not text.documents:
            matches = []
        else:
            matches = list(pattern.finditer(text.text))
        for match in matches:
            line = text.line + text.text.count("\n", 0, match.start())
            yield line, " ".join(match[0].split())


def load_rules(file: Path) -> tuple[list[Rule], list[str]]:
    """Return the rules of a file, and the globs of the files to check."""
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Rule(**each) for each in config["rule"]], config["files"]


def texts(name: str, source: str) -> Iterator[Text]:
    """Yield the texts of a file: all of it except code, or the strings and comments of Python."""
    if name.endswith(".py"):
        yield from _python_texts(source)
    else:
        yield Text(1, _CODE.sub(_blank, source))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _python_texts(source: str) -> Iterator[Text]:
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value): "function" if isinstance(node, functions) else "other"
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, *functions))
        if ast.get_docstring(node) is not None
        if isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Text(node.lineno, _CODE.sub(_blank, node.value), docstrings.get(id(node), ""))
    comments = [
        Text(token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from comments


def check(root: Path, rules: Sequence[Rule], globs: Sequence[str]) -> list[str]:
    """Return a line for each phrase that occurs more often than it may."""
    found: dict[Rule, list[str]] = {rule: [] for rule in rules}
    for file in sorted({file for glob in globs for file in root.glob(glob)}):
        name = file.relative_to(root).as_posix()
        for text in texts(name, file.read_text(encoding="utf-8")):
            for rule in rules:
                found[rule] += [
                    f"{name}:{line}: {phrase!r}: write {rule.instead}"
                    for line, phrase in rule.find(text)
                ]
    problems = []
    for rule, lines in found.items():
        if len(lines) > rule.most:
            problems += lines
            problems.append(
                f"{rule.pattern!r} occurs {len(lines)} times; {rule.most} are allowed by prose.toml"
            )
    return problems


def main() -> int:
    """Print the phrases to rewrite. Return 1 if there are any."""
    problems = check(ROOT, *load_rules(RULES))
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
