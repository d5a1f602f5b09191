"""The timeline of a video: a row for each label, bars where and when it appears."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from retinue_cli.output.attributes import clock
from retinue_cli.output.image_view import ImageView, RunView
from retinue_cli.output.timeline import MAX_ROWS, MIN_BAR_PX, WIDTH_PX, timeline
from retinue_sdk import Detection, ImageReference


def appears(label: str, start_ms: int, end_ms: int, track: int | None = None) -> Detection:
    return Detection("object", label, 0.5, None, {}, start_ms, end_ms, track)


def video(*found: Detection, duration_ms: int | None = 10_000) -> ImageView:
    run = RunView("objects", "1", None, "succeeded", None, None, False, len(found), found)
    reference = ImageReference("bucket", "a<b>.mp4", etag="e")
    now = datetime.now(UTC)
    return ImageView(uuid4(), reference, "e", 1, (64, 48), now, None, 0, (run,), duration_ms)


def test_bars_lie_where_and_when_things_appear(tmp_path: Path) -> None:
    found = (
        appears("<dog>", 0, 5_000, 3),
        appears("cat", 2_500, 10_000),
        appears("cat", 5_000, 5_000),
    )
    drawn = timeline(video(*found))
    assert [(row.label, len(row.bars)) for row in drawn.rows] == [("<dog>", 1), ("cat", 2)]
    [dog], [long, short] = (row.bars for row in drawn.rows)
    assert dog.width * 1.5 == long.width
    assert (long.left - dog.left) * 2 == dog.width
    assert (short.left - dog.left, short.width) == (dog.width, MIN_BAR_PX)
    assert short.top > long.top
    assert [text for _, text in drawn.ticks] == [f"0:{second:02}" for second in range(11)]
    assert dog.title == "<dog> #3, 0:00.0 – 0:05.0, 50%"
    page = drawn.page()
    assert "&lt;dog&gt; #3, 0:00.0 – 0:05.0, 50%" in page
    assert "<dog>" not in page
    drawn.save(tmp_path / "a.HTML")
    assert (tmp_path / "a.HTML").read_text("utf-8") == page
    drawn.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (WIDTH_PX, round(drawn.height))
        middle = (round(dog.left + dog.width / 2), round(dog.top + 5))
        assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel(middle)) == dog.colour


moments = st.integers(0, 100_000_000)
appearances = st.builds(
    lambda label, times: appears(label, min(times), max(times)),
    st.sampled_from(["a", "b", "c"]),
    st.tuples(moments, moments),
)


@given(st.lists(appearances, max_size=30), st.none() | moments)
def test_bars_of_a_row_never_hide_each_other(
    found: list[Detection], duration_ms: int | None
) -> None:
    drawn = timeline(replace(video(*found), duration_ms=duration_ms))
    assert sum(len(row.bars) for row in drawn.rows) == len(found)
    for row in drawn.rows:
        for bar in row.bars:
            assert 0 <= bar.left <= bar.left + bar.width <= WIDTH_PX
            assert row.top <= bar.top < row.top + row.height <= drawn.height
        for lane in {bar.top for bar in row.bars}:
            bars = sorted((bar.left, bar.width) for bar in row.bars if bar.top == lane)
            for (left, width), (following, _) in pairwise(bars):
                assert left + (width if width > MIN_BAR_PX else 0) <= following + 0.001
    assert len(drawn.ticks) <= 13 or (duration_ms or 0) > 24 * 3_600_000


def test_the_labels_that_appear_longest_are_drawn() -> None:
    found = [appears(f"{index}", 0, index) for index in range(MAX_ROWS + 5)]
    drawn = timeline(video(*found))
    assert len(drawn.rows) == MAX_ROWS
    assert drawn.left_out == 5
    assert "5 more labels" in drawn.page()


def test_a_clock() -> None:
    assert [clock(one) for one in (0, 59_949, 59_950, 3_723_400)] == [
        "0:00.0",
        "0:59.9",
        "1:00.0",
        "1:02:03.4",
    ]
