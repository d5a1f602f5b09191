"""Take the documentation's pictures of the console: ``python -m tools.screenshots``.

Run the detectors on the sample photographs in a temporary folder, serve the console there, make a
review queue, and take each page in light and in dark. Needs Chromium.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import APIRequestContext, ViewportSize, sync_playwright

from tools.chromium import MISSING, find_chromium

DOCS = Path(__file__).parents[1] / "docs"
RETINUE = Path(sys.executable).parent / "retinue"
SIZE_PX: ViewportSize = {"width": 1280, "height": 760}
SETTLE_MS = 1_500
"""Time for pictures to load."""


def main() -> None:
    """Take all pictures."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([RETINUE, "run"], cwd=folder, check=True)  # noqa: S603 - ours
        with _console(Path(folder)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.path, args=chromium.arguments
            )
            pages = _pages(address, browser.new_context().request)
            for name, path in pages.items():
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport=SIZE_PX, color_scheme=scheme)
                    page.goto(address + path)
                    page.wait_for_timeout(SETTLE_MS)
                    target = DOCS / f"console-{name}-{scheme}.jpg"
                    page.screenshot(path=target, type="jpeg", quality=80)
                    print(target)  # noqa: T201 - a program's output
                    page.close()
            browser.close()


@contextmanager
def _console(folder: Path) -> Iterator[str]:
    """Serve the console of a folder; its address."""
    command = [str(RETINUE), "console"]
    with subprocess.Popen(  # noqa: S603 - ours
        command, cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    break
        finally:
            process.terminate()


def _pages(address: str, request: APIRequestContext) -> dict[str, str]:
    """Make a queue; the pages to take, by name."""
    queue: dict[str, str | float | bool] = {"name": "photos", "strategy": "random", "size": 5}
    request.post(f"{address}/review", form=queue)
    images = request.get(f"{address}/images.json").json()["images"]
    chosen = next(one["image_id"] for one in images if one["key"] == "astronaut.jpg")
    return {
        "overview": "/",
        "review": f"/review/photos?image={chosen}",
    }


if __name__ == "__main__":
    main()
