"""A video in a browser: the timeline moves the video, and the video the timeline."""

import io
from contextlib import closing
from typing import Any

import av
import numpy as np
import pytest
from console.browser.test_pages import AXE, SUMMARY
from console.conftest import NOON, Add
from playwright.sync_api import Browser, Page, expect
from retinue_console.pictures.pictures import NoPictureError, Pictures
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    HistoryUnavailableError,
    RunKey,
    RunRecord,
    VideoRecord,
)


def video_file() -> bytes:
    """A WebM of four seconds, five frames each."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream: Any = container.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            pixels = np.full((48, 64, 3), number * 12, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_an_appearance_is_chosen_by_keyboard(
    browser: Browser, address: str, add: Add, console_url: str, scheme: Any, width: int
) -> None:
    image_id = add("clip.webm", video_file(), (64, 48))
    found = tuple(
        DetectionRecord("label", "cat", 0.9, (0.1, 0.2, 0.3, 0.4), "{}", start, start + 500, 1)
        for start in (0, 2_000)
    )
    run = RunRecord(
        RunKey(image_id, "clips", "1", "f"), "event", "succeeded", False, NOON, 1.0,
        detections=found,
    )  # fmt: skip
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([], [run], videos=[VideoRecord(image_id, 4_000, 5.0, "vp8", "webm")])
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda one: problems.append(one.text) if one.type == "error" else None)
    page.goto(f"{address}/videos/{image_id}")
    page.wait_for_function("document.getElementById('video').readyState >= 1")
    page.get_by_role("link", name="cat, 0:00 to 0:00.5, 90%, clips, track 1").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('video').currentTime === 2")
    page.wait_for_function("document.querySelector('.timeline a.now')?.dataset.from === '2000'")
    assert page.url.endswith("#t=2.0")
    expect(page.locator(".stage rect[visibility=visible]")).to_have_count(1)
    page.reload()  # the address leads to the same moment
    page.wait_for_function("document.getElementById('video').currentTime === 2")
    page.evaluate(AXE)
    problems += page.evaluate(SUMMARY)
    context.close()
    assert problems == []


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (NoPictureError("S3 refuses it", is_lasting=False), "The file isn't available: S3 refuses"),
        (HistoryUnavailableError("db.example is away"), "The database doesn't answer."),
        (None, "The browser can't play this file. Download it"),
    ],
    ids=["refused", "no database", "no video"],
)
def test_a_video_that_is_not_played_says_why(
    page: Page,
    address: str,
    add: Add,
    pictures: Pictures,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | None,
    expected: str,
) -> None:
    def part(*given: Any) -> Any:
        if failure is not None:
            raise failure
        return read(*given)

    read = pictures.original_part
    monkeypatch.setattr(pictures, "original_part", part)
    image_id = add("broken.webm", b"not a video")
    page.goto(f"{address}/videos/{image_id}")
    expect(page.locator("#video-problem")).to_contain_text(expected)
