"""Every page in a browser: accessible by axe's rules, and without complaints of the browser."""

from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest
from console.browser.conftest import PATIENCE_MS
from console.test_app import PAGES
from playwright.sync_api import Browser, Page, expect
from retinue_console.database import Database
from retinue_console.pictures.pictures import Pictures

from tools.chromium import find_chromium

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")

LOOKS = [
    [("light", 1280), ("dark", 360)],
    pytest.param([("light", 360)], marks=pytest.mark.long),
    pytest.param([("dark", 1280)], marks=pytest.mark.long),
    pytest.param([("dark", 360)], marks=pytest.mark.long),
]
"""Colours and widths of a loaded page. The first two show each once."""

SUMMARY = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(
    one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html).join(" ")}`)"""

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def paths(database: Database) -> list[str]:
    """The pages without parameters, and the others with some."""
    with database.read() as reader:
        [(image_id, label)] = reader.execute(
            "SELECT image_id, label FROM latest_detections WHERE key LIKE 'photo%' LIMIT 1"
        ).fetchall()
    return [route.path for route in PAGES] + [
        f"/images/{image_id}",
        "/images?shape=patches",
        "/diff?before=labels&after=labels",
        "/images?shape=table",
        "/search?q=photo",
        f"/review/corrections?image={image_id}",
        f"/review/corrections?image={image_id}#keys",
        f"/review/corrections/bulk?kind=object&label={quote(label)}",
        "/review/corrections/agreement",
    ]


@pytest.mark.parametrize("looks", LOOKS)
def test_pages_are_accessible(
    browser: Browser, address: str, paths: list[str], looks: list[tuple[Any, int]]
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda said: problems.append(f"{page.url}: {said.text}") if said.type == "error" else None,
    )

    def look(scheme: Any, width: int) -> None:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})

    for path in paths:
        look(*looks[0])
        page.goto(f"{address}{path}", wait_until="load")
        if path.endswith("#keys"):  # the dialog, over the page
            page.reload()
            page.keyboard.press("?")
        page.evaluate(AXE)
        for scheme, width in looks:
            look(scheme, width)
            problems += [f"{path}: {found}" for found in page.evaluate(SUMMARY)]
            if (wider := page.evaluate(WIDER)) > 0:
                problems.append(f"{path}: {wider} px wider than the window of {width} px")
    context.close()
    assert problems == []


def test_pictures_that_are_slow_delay_no_page(
    page: Page, address: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = Event()
    monkeypatch.setattr(pictures, "picture", lambda *_: arrived.wait(PATIENCE_MS / 1_000) and None)
    try:
        page.goto(f"{address}/images", wait_until="commit")
        for name in ("Labels", "Images", "Runs", "Images", "Costs"):
            page.get_by_label("Pages").get_by_role("link", name=name, exact=True).click()
            expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
        page.goto(f"{address}/images", wait_until="commit")
        page.get_by_label("Label", exact=True).fill("Cat")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**label=Cat**")
    finally:
        arrived.set()


def test_pictures_that_were_stopped_are_loaded_on_the_way_back(
    browser: Browser, address: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, find = Event(), pictures.picture
    monkeypatch.setattr(
        pictures, "picture", lambda *given: arrived.wait(PATIENCE_MS / 1_000) and find(*given)
    )
    chromium = find_chromium()
    assert chromium is not None
    with closing(
        browser.browser_type.launch(
            executable_path=chromium.path,
            args=chromium.arguments,
            ignore_default_args=["--disable-back-forward-cache"],
        )
    ) as keeping:
        page = keeping.new_page()
        page.goto(f"{address}/images", wait_until="commit")
        page.get_by_label("Pages").get_by_role("link", name="Labels").click()
        expect(page.get_by_role("heading", level=1, name="Labels")).to_be_visible()
        arrived.set()
        page.go_back(wait_until="commit")
        page.wait_for_function(
            "() => document.images.length > 6 && "
            "[...document.images].slice(0, 6).every(one => one.naturalWidth > 0)"
        )
