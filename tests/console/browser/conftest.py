"""A console that is served, and Debian's Chromium to look at it."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright
from retinue_console.app import make_app
from retinue_console.command import listen
from retinue_console.page import Services
from retinue_console.settings import ConsoleSettings

from tools.chromium import MISSING, find_chromium

PATIENCE_MS = 30_000
"""How long a page may take for something on a busy machine."""

expect.set_options(timeout=PATIENCE_MS)


# Not for the session: as long as it runs, no other test of the process can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; without one, tests are skipped on a laptop and fail in CI."""
    chromium = find_chromium()
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.path, args=chromium.arguments)
        yield browser
        browser.close()


@contextmanager
def served(services: Services, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve a console, at any free port by default; yields its address."""
    listener = listener or listen(ConsoleSettings(port=0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(services),
            log_level="error",
            lifespan="off",
            ws="none",
            loop="asyncio",
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    """The address of a console."""
    with served(services) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab. Errors of scripts fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []
