"""The page of metrics lists those that there are, with the labels that they have."""

import re
from pathlib import Path

from retinue_workers.ops.metrics import Metrics

ROW = re.compile(r"^\| `(retinue_\w+)` \|([^|]*)\|", re.MULTILINE)


def test_every_metric_is_on_the_page(root: Path) -> None:
    page = (root / "docs/observing.md").read_text("utf-8")
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in ROW.findall(page)}
    metrics = Metrics(in_flight=lambda: 0, open_causes=lambda: 0)
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
