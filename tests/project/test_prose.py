"""The check of prose finds phrases where people read them, and nowhere else."""

from pathlib import Path

import pytest

from tools.prose import ROOT, RULES, Rule, check, load_rules

SHALL = Rule(r"\bshall\b", "must")
FOR_EVER = Rule("for ever", "permanently")
WHETHER = Rule(r"Whether\b", "Return whether", opener="all")

MODULE = '''"""A module: it shall be found."""

# A comment: it shall be found.
SHALL = {"shall": "a message: it shall be found"}


def shall(text: str) -> str:
    """Whether opens this, and only this.

    Whether here is fine. ``shall`` as code, too.
    """
    return f"a message {text} shall be found"
'''

PAGE = """A page: it shall
stand for
ever. Neither `shall` nor

```sh
shall
```
"""


def test_python_is_read_where_people_read_it(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE, encoding="utf-8")
    problems = check(tmp_path, [SHALL, WHETHER], ["*.py"])
    places = {problem.partition(": ")[0] for problem in problems if "write" in problem}
    assert places == {f"module.py:{line}" for line in (1, 3, 4, 8, 12)}


def test_a_rule_can_be_about_docstrings_only(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE, encoding="utf-8")
    problems = check(tmp_path, [Rule(r"\bshall\b", "must", docstrings=True)], ["*.py"])
    assert [problem.partition(": ")[0] for problem in problems if "write" in problem] == [
        "module.py:1"
    ]


def test_openers_of_functions_are_read_apart(tmp_path: Path) -> None:
    text = '"""The module."""\n\n\ndef the() -> None:\n    """The function."""\n'
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    assert check(tmp_path, [Rule(r"The\b", "Return", opener="functions")], ["*.py"]) == [
        "module.py:5: 'The': write Return",
        "'The\\\\b' occurs 1 times; 0 are allowed by prose.toml",
    ]


def test_pages_are_read_without_their_code(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    assert check(tmp_path, [SHALL, FOR_EVER], ["*.md"]) == [
        "page.md:1: 'shall': write must",
        r"'\\bshall\\b' occurs 1 times; 0 are allowed by prose.toml",
        "page.md:2: 'for ever': write permanently",
        "'for ever' occurs 1 times; 0 are allowed by prose.toml",
    ]


def test_old_ones_are_allowed_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("It shall. It shall.", encoding="utf-8")
    assert check(tmp_path, [Rule(r"\bshall\b", "must", most=2)], ["*.md"]) == []
    assert check(tmp_path, [Rule(r"\bshall\b", "must", most=1)], ["*.md"]) != []


@pytest.mark.parametrize("rule", load_rules(RULES)[0], ids=lambda rule: rule.pattern)
def test_every_rule_says_what_to_write_instead(rule: Rule) -> None:
    assert rule.instead
    assert rule.most >= 0


def test_every_glob_finds_files() -> None:
    assert [glob for glob in load_rules(RULES)[1] if not list(ROOT.glob(glob))] == []
