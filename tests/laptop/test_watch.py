"""The progress bar keeps its room, whatever the worker complains about."""

import io

import pytest
from retinue_cli.local import watch as module
from retinue_cli.local.progress import Done
from rich.console import Console


def test_a_complaint_is_a_line_of_its_own_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", -1.0)
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=False)
    answers = iter([Done(0, 0)] * 4 + [Done(1, 0)])
    complaint = "message_requeued: ValueError: a detection's\nconfidence must be 0 to 1" * 3
    with module.watch(console, files=1, runs=1) as view:
        done, complete = view.follow(
            lambda: next(answers),
            1,
            check=lambda: None,
            complaint=lambda: complaint,
            is_idle=lambda: False,
        )
    assert (done, complete) == (Done(1, 0), True)
    said = file.getvalue().splitlines()
    assert [line for line in said if "ValueError" in line] == [
        "message_requeued: ValueError: a detection's confidence must…"
    ]
    assert all(len(line) <= 60 for line in said)
    [bar] = [line for line in said if "running detectors" in line]
    assert "1/1" in bar
