"""Every page in a browser: accessible by axe's rules, and without complaints of the browser."""

from pathlib import Path
from typing import Any

import pytest
from console.test_app import PAGES
from playwright.sync_api import Browser

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")

LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 360)]

SUMMARY = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(
    one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html).join(" ")}`)"""

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_are_accessible(browser: Browser, address: str, scheme: Any, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda said: problems.append(f"{page.url}: {said.text}") if said.type == "error" else None,
    )
    for path in (route.path for route in PAGES):
        page.goto(f"{address}{path}", wait_until="load")
        page.evaluate(AXE)
        problems += [f"{path}: {found}" for found in page.evaluate(SUMMARY)]
        if (wider := page.evaluate(WIDER)) > 0:
            problems.append(f"{path}: {wider} px wider than the window")
    context.close()
    assert problems == []
