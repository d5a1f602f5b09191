"""The page on monitoring lists the metrics with their labels, and events that are logged."""

import re
from pathlib import Path

from retinue_workers.ops.metrics import Metrics

ROW = re.compile(r"^\| `(retinue_\w+)` \|([^|]*)\|", re.MULTILINE)


EVENTS = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)
"""The first cell of a row of the table of log events."""


def test_every_event_on_the_page_is_logged(root: Path) -> None:
    monitoring = (root / "docs/monitoring.md").read_text("utf-8").partition("## A live view")[0]
    events = set(re.findall(r"`(\w+)`", " ".join(EVENTS.findall(monitoring))))
    assert len(events) > 20
    sources = [*(root / "workers/src").rglob("*.py"), *(root / "sdk/src").rglob("*.py")]
    texts = [file.read_text("utf-8") for file in sources]
    assert {event for event in events if not any(f'"{event}"' in text for text in texts)} == set()


def test_every_metric_is_on_the_page(root: Path) -> None:
    page = (root / "docs/monitoring.md").read_text("utf-8")
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in ROW.findall(page)}
    metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 0)
    metrics.retried("echo", True)
    collectors = {
        collector._name: set(collector._labelnames)
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }
    for name, labels in collectors.items():
        found = next(known for known in told if known.removesuffix("_total") == name)
        assert told[found] == labels
    families = {family.name for family in metrics.registry.collect()}
    assert families == {name.removesuffix("_total") for name in told}
