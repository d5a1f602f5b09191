"""The log has one JSON object per line, for any event from any library."""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

SCRIPT = """
import logging, sys, threading, uuid
import structlog
from retinue_workers.ops.logs import configure

configure(sys.argv[1])
log = structlog.get_logger("retinue_workers.test")
log.info("plain", image="a b", count=3)
log.warning("odd", text="nul \\0 newline \\n surrogate \\ud800 emoji \\U0001F408", data={1: {2, 3}})
log.info("numbers", none=None, huge=2**70, ratio=float("nan"), id=uuid.UUID(int=7))
log.debug("not shown")
try:
    raise ValueError("line one\\nline two")
except ValueError:
    log.exception("bug", attempt=object())
logging.getLogger("other.library").error("from %s", "elsewhere")
try:
    raise KeyError("x")
except KeyError:
    logging.getLogger("other.library").exception("its bug")
logging.getLogger("botocore").info("not shown")
def many():
    for number in range(50):
        log.info("many", number=number)
threads = [threading.Thread(target=many) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
configure(sys.argv[1])
log.info("once")
"""


LEVELS = """
import logging, sys
import structlog
from retinue_workers.ops.logs import configure

configure("json", sys.argv[1])
for name in ("debug", "info", "warning", "error"):
    getattr(structlog.get_logger("retinue_workers.test"), name)(f"ours {name}")
    getattr(logging.getLogger("acme_plugin"), name)(f"plugin {name}")
    getattr(logging.getLogger("sqlalchemy.engine"), name)(f"sqlalchemy {name}")
    getattr(logging.getLogger("botocore.auth"), name)(f"botocore {name}")
"""


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_lines_below_the_level_are_left_out(level: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEVELS, level], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    order = ["debug", "info", "warning", "error"]
    lowest = {"ours": "debug", "plugin": "debug", "sqlalchemy": "warning", "botocore": "warning"}
    assert events == [
        f"{source} {name}"
        for name in order
        for source, least in lowest.items()
        if order.index(name) >= max(order.index(level), order.index(least))
    ]


def lines(log_format: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, log_format], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_a_json_object() -> None:
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines("json")]
    assert all({"event", "level", "timestamp"} <= set(entry) for entry in entries)
    events = [entry["event"] for entry in entries]
    assert events[:6] == ["plain", "odd", "numbers", "bug", "from elsewhere", "its bug"]
    assert events[6:] == ["many"] * 200 + ["once"]
    plain, odd, numbers, bug, foreign, foreign_bug = entries[:6]
    assert (plain["image"], plain["count"], plain["level"]) == ("a b", 3, "info")
    assert odd["text"] == "nul \0 newline \n surrogate \ud800 emoji \U0001f408"
    assert (numbers["none"], numbers["huge"]) == (None, 2**70)
    assert math.isnan(numbers["ratio"])
    assert f"{UUID(int=7)}" in numbers["id"]
    assert "ValueError: line one\nline two" in bug["exception"]
    assert foreign["level"] == "error"
    assert "KeyError" in foreign_bug["exception"]
    moment = datetime.fromisoformat(plain["timestamp"])
    assert plain["timestamp"] == moment.isoformat().replace("+00:00", "Z")
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=10)


def test_people_get_lines_to_read() -> None:
    text = "\n".join(lines("console"))
    assert "plain" in text
    assert "ValueError: line one" in text
    assert "not shown" not in text
    assert "\x1b[" not in text  # no colours into a file
