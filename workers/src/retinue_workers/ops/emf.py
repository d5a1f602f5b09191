"""Write metrics in CloudWatch's embedded metric format, which CloudWatch reads from the log.

The format is that of "Specification: Embedded metric format" in the CloudWatch User Guide. It needs
no agent, call or permission except writing the log.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from threading import Event, Thread
from typing import IO, TypeAlias

import structlog
from prometheus_client import CollectorRegistry

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 60.0
"""How often lines are written. CloudWatch's standard resolution is one minute."""

Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, and its labels with their values."""

_UNITS = {"seconds": "Seconds", "usd": "None", "total": "Count", "units": "Count"}
_SUMS = ("_total", "_sum", "_count")


class EmbeddedMetrics:
    """Writes the changes since the last time, once a minute and at the end.

    Args:
        registry: The metrics.
        namespace: Their namespace in CloudWatch.
        out: The destination of the lines. ECS sends standard output to CloudWatch Logs.
    """

    def __init__(
        self, registry: CollectorRegistry, namespace: str, out: IO[str] | None = None
    ) -> None:
        self._registry = registry
        self._namespace = namespace
        self._out = out or sys.stdout
        self._before: dict[Series, float] = {}
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Start writing on a separate thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write the remaining changes, and stop."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stopping.wait(INTERVAL_SECONDS)
            try:
                for line in self.lines(time.time()):
                    self._out.write(line + "\n")
                self._out.flush()
            except Exception:  # a full disk or a closed pipe must not end the worker
                log.exception("metrics_not_written")

    def lines(self, now: float) -> Iterator[str]:
        """Yield one line for each set of dimensions.

        Counters and histograms have the increase since the last call, gauges the current value.

        Args:
            now: The time, in seconds since the epoch.
        """
        groups: defaultdict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.name.endswith(("_created", "_bucket")):
                    continue
                value = sample.value
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if v))
                if sample.name.endswith(_SUMS):
                    series = (sample.name, labels)
                    value -= self._before.get(series, 0.0)
                    self._before[series] = sample.value
                groups[labels][sample.name.removeprefix("retinue_")] = value
        for labels, values in groups.items():
            yield self._line(dict(labels), values, now)

    def _line(self, labels: Mapping[str, str], values: Mapping[str, float], now: float) -> str:
        about = {
            "Namespace": self._namespace,
            "Dimensions": [list(labels)],
            "Metrics": [{"Name": name, "Unit": _unit(name)} for name in values],
        }
        stamp = {"Timestamp": int(now * 1_000), "CloudWatchMetrics": [about]}
        return json.dumps({"_aws": stamp, **labels, **values})


def _unit(name: str) -> str:
    """Return CloudWatch's unit for a metric, by the end of its name."""
    words = name.split("_")
    if words[-1] in ("total", "sum") and len(words) > 1 and words[-2] in _UNITS:
        return _UNITS[words[-2]]
    return _UNITS.get(words[-1], "Count")
