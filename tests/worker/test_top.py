"""The live view, as text."""

import io
from collections.abc import Sequence
from decimal import Decimal

import pytest
from retinue_cli.output.top.view import View, sparkline
from retinue_history.analysis.activity import Activity
from retinue_workers.work import QueueDepth
from rich.console import Console


def drawn(view: View, backlog: QueueDepth | None, activity: Sequence[Activity]) -> str:
    console = Console(width=120, record=True, file=io.StringIO(), highlight=False)
    console.print(view.draw(backlog, activity, "the queue does not answer"))
    return console.export_text()


def test_it_shows_queue_rate_and_detectors() -> None:
    activity = [
        Activity("echo", 60.0, 600, 0, 1_200, 12.4, 40.0, Decimal("0.60"), None),
        Activity("faces", 60.0, 60, 6, 0, 210.0, 900.0, Decimal(0), "throttled"),
    ]
    text = drawn(View("labels"), QueueDepth(1_191, 9, 3), activity)
    assert "labels" in text
    assert "waiting 1,191   in flight 9   dead 3   done in about 0:02:00" in text
    assert "10.0 images/s" in text
    lines = {
        line.split()[0]: line.split()
        for line in text.splitlines()
        if line[:1] == " " and line.strip()
    }
    assert lines["echo"] == ["echo", "10.0", "2.0", "12", "40", "36.00", "0.0%"]
    assert lines["faces"] == ["faces", "1.0", "0.0", "210", "900", "0.00", "10.0%"]
    assert "faces: most fail with throttled" in text
    assert "the queue does not answer" in text


def test_a_rate_is_right_from_the_beginning_and_fits_eighty_columns() -> None:
    name = "rekognition-custom-labels"
    activity = [
        Activity(name, 10.0, 500, 5, 900, 9_000.0, 12_000.0, Decimal(1), "retries_exhausted")
    ]
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(View("labels-production").draw(QueueDepth(1_000_000, 900, 12), activity))
    text = console.export_text()
    assert "50.0 images/s" in text
    assert "done in about 5:33:38" in text
    assert name in text
    assert text.split(name)[1].split()[4:6] == ["360.00", "1.0%"]
    assert "nothing is being done" in drawn(View("q"), QueueDepth(5, 0, 0), [])


def test_nothing_happens() -> None:
    text = drawn(View(None), None, [])
    assert "no run was recorded in the last 60 seconds" in text
    assert "0.0 images/s" in text
    assert "no dead-letter queue" in drawn(View("q"), QueueDepth(0, 0), [])


@pytest.mark.parametrize(
    ("values", "bars"), [([], ""), ([0, 0], "  "), ([0, 1, 4, 8], " ▁▄█"), ([0.001, 100], "▁█")]
)
def test_a_line_of_bars(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars
