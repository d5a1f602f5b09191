"""The metric filters match the lines that the worker writes."""

import io
import json
import re

from infra.terraform import INFRA, source
from retinue_workers.ops.emf import EmbeddedMetrics
from retinue_workers.ops.metrics import Metrics

EVENT = re.compile(r'\$\.event = \\?"(\w+)')


def test_the_events_that_filters_look_for_are_logged() -> None:
    texts = (
        source("modules/pool/alarms.tf"),
        source("modules/pool/canary.tf"),
        source("modules/pool/slo.tf"),
        source("deploy/src/retinue_deploy/smoke.py"),
    )
    events = {event for text in texts for event in EVENT.findall(text)}
    assert events == {"run_recorded", "run_skipped"}
    workers = [file.read_text("utf-8") for file in (INFRA.parent / "workers/src").rglob("*.py")]
    assert {event for event in events if not any(f'"{event}"' in text for text in workers)} == set()


def test_throttled_calls_are_told_as_the_filter_expects() -> None:
    found = re.search(
        r'throttled_calls += \{ pattern = "\{ \$\.(\w+) = \\"(\w+)\\" && \$\.(\w+) > 0 \}", '
        r'value = "\$\.(\w+)" \}',
        source("modules/pool/alarms.tf"),
    )
    assert found is not None
    label, yes, counted, value = found.groups()
    assert counted == value

    metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 0)
    for throttled in (True, True, False):
        metrics.retried("echo", throttled)
    writer = EmbeddedMetrics(metrics.registry, "Retinue/test/worker", io.StringIO())
    told = [json.loads(line) for line in writer.lines(0.0)]
    assert [line[counted] for line in told if line.get(label) == yes] == [2]
    assert [line[counted] for line in told if counted in line and line.get(label) != yes] == [1]


def test_jobs_are_told_as_the_filters_expect() -> None:
    filters = re.findall(
        r'(\w+) += \{ pattern = "\{ \$\.(\w+) = \\"([\w*]+)\\" && \$\.(\w+) > 0 \}", '
        r'value = "\$\.(\w+)" \}',
        source("modules/pool/alarms.tf"),
    )
    assert all(counted == value for *_, counted, value in filters)

    metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 0)
    for was_hinted in (True, True, False):
        metrics.job_ended("echo", was_hinted=was_hinted)
    for is_overdue in (False, False, True, True):
        metrics.job_looked_at("echo", is_overdue=is_overdue)
    writer = EmbeddedMetrics(metrics.registry, "Retinue/test/worker", io.StringIO())
    lines = [json.loads(line) for line in writer.lines(0.0)]
    found = {
        name: sum(
            line[value]
            for line in lines
            if label in line and value in line and wanted in ("*", line[label])
        )
        for name, label, wanted, _, value in filters
        if name != "throttled_calls"
    }
    assert found == {"overdue_looks": 2, "jobs": 3, "silent_jobs": 1}


def test_a_pause_is_told_without_labels_as_its_alarm_expects() -> None:
    metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 2, paused_jobs=lambda: 1)
    writer = EmbeddedMetrics(metrics.registry, "Retinue/test/worker", io.StringIO())
    [line] = [line for line in map(json.loads, writer.lines(0.0)) if "receiving_paused" in line]
    assert (line["receiving_paused"], line["jobs_paused"]) == (2, 1)
    [about] = line["_aws"]["CloudWatchMetrics"]
    assert about["Dimensions"] == [[]]
    assert re.search(r'metric_name += "\$\{each.key\}_paused"', source("modules/pool/alarms.tf"))
