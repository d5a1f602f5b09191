"""The settings page is what the model says, and no page speaks of a setting that does not exist."""

import re
from pathlib import Path

from generators.settings_page import settings_page
from retinue_console.settings import PREFIX as CONSOLE_PREFIX
from retinue_console.settings import ConsoleSettings
from retinue_workers.settings.settings import PREFIX, Settings

OF_KUBERNETES = {"RETINUE_SERVICE_HOST"}
"""A variable that the settings page names as one that is ignored."""

VARIABLE = re.compile(rf"\b{PREFIX}[A-Z_]+\b")


def test_the_page_is_up_to_date(root: Path) -> None:
    page = (root / "docs/settings.md").read_text(encoding="utf-8")
    renew = "renew it: .venv/bin/python docs/generators/settings_page.py > docs/settings.md"
    assert page == settings_page(), renew


def test_every_variable_in_the_documentation_exists(pages: dict[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OF_KUBERNETES
    known |= {CONSOLE_PREFIX + name.upper() for name in ConsoleSettings.model_fields}
    mentioned = {(page, name) for page, text in pages.items() for name in VARIABLE.findall(text)}
    assert {(page, name) for page, name in mentioned if name not in known} == set()
