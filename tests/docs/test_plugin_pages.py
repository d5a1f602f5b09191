"""The pages about hooks, options and checks are what the code says."""

import inspect
from pathlib import Path

from generators.checks_page import checks_page
from generators.plugin_reference import reference_page
from retinue_sdk import hookspecs


def test_the_checks_are_up_to_date(root: Path) -> None:
    page = (root / "docs/checks.md").read_text(encoding="utf-8")
    renew = "renew it: .venv/bin/python docs/generators/checks_page.py > docs/checks.md"
    assert page == checks_page(), renew


def test_hooks_and_options_are_up_to_date(root: Path) -> None:
    page = (root / "docs/plugin-reference.md").read_text(encoding="utf-8")
    renew = "renew it: .venv/bin/python docs/generators/plugin_reference.py"
    assert page == reference_page(), f"{renew} > docs/plugin-reference.md"


def test_every_hook_says_when_by_whom_and_what_a_raise_does() -> None:
    hooks = [hook for name, hook in vars(hookspecs).items() if name.startswith("retinue_")]
    assert hooks
    for hook in hooks:
        doc = inspect.getdoc(hook) or ""
        assert "Called" in doc, hook
        assert "by" in doc, hook
        assert "raises" in doc, hook
