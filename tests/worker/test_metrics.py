"""Test a worker's metrics in the formats of Prometheus and CloudWatch."""

import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from fakes import work
from fakes.rig import Rig
from fakes.running_worker import RunningWorker
from fakes.waiting import eventually
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from retinue_workers.ops.emf import EmbeddedMetrics
from retinue_workers.ops.metrics import Metrics


def values(worker: RunningWorker) -> dict[str, float]:
    """Return every sample, by name and the values of its labels; read as Prometheus reads it."""
    text = generate_latest(worker.worker.metrics.registry).decode()
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()) if value)]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


def test_a_worker_counts_what_it_does(rig: Rig) -> None:
    for number in range(5):
        rig.upload(f"{number}.jpg")
    chosen = {"echo": {}, "hostile-invalid-image": {}}
    with rig.running(chosen, prices={"echo": Decimal("0.002")}) as worker:
        rig.wait_until_empty()
        found = values(worker)
    assert found["retinue_messages_received_total"] == 5
    assert found["retinue_runs_total echo succeeded"] == 5
    failed = {k: v for k, v in found.items() if k.startswith("retinue_runs_total hostile")}
    assert list(failed.values()) == [5]
    assert next(iter(failed)).endswith(" failed")
    assert found["retinue_detect_seconds_count echo"] == 5
    assert found["retinue_commit_seconds_count"] >= 1
    assert found["retinue_messages_in_flight"] == 0
    assert found["retinue_receiving_paused"] == 0
    assert found["retinue_billed_units_total echo"] == 5
    assert found["retinue_price_usd_total echo"] == pytest.approx(0.01)


def test_the_age_is_that_of_the_oldest_message_of_the_last_receive() -> None:
    metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 0)

    def age(*sent_at: float | None) -> float | None:
        metrics.received([replace(work.message(), sent_at=sent) for sent in sent_at], now=100.0)
        return metrics.registry.get_sample_value("retinue_queue_age_seconds")

    assert age(70.0, 40.0, None) == 60
    assert age(None) == 0
    assert age(90.0) == 10
    assert age() == 0
    assert age(101.0) == 0, "the clocks of SQS and of the worker differ"


def test_retries_and_the_closed_gate_are_seen(rig: Rig) -> None:
    rig.upload("a.jpg")
    with rig.running({"hostile-retriable": {}, "hostile-not-ready": {}}) as worker:
        eventually(lambda: values(worker).get("retinue_retries_total hostile-retriable no", 0) > 0)
        eventually(lambda: values(worker)["retinue_receiving_paused"] == 1)
        assert values(worker)["retinue_messages_in_flight"] == 1
        assert worker.worker.liveness.state()[0]
        assert "waiting for detector hostile-not-ready" in worker.worker.liveness.state()[1]


def test_cloudwatch_is_told_all_that_prometheus_is(rig: Rig) -> None:
    for number in range(3):
        rig.upload(f"{number}.jpg")
    chosen = {"echo": {}, "hostile-invalid-image": {}}
    with rig.running(chosen, prices={"echo": Decimal("0.002")}) as worker:
        rig.wait_until_empty()
        worker.worker.metrics.retried("echo", throttled=True)
        worker.worker.metrics.retried("echo", throttled=False)
        prometheus = values(worker)
        told = [
            json.loads(line)
            for line in EmbeddedMetrics(worker.worker.metrics.registry, "R").lines(0)
        ]
    assert prometheus["retinue_retries_total echo yes"] == 1
    about = [line["_aws"]["CloudWatchMetrics"][0]["Metrics"] for line in told]
    names = {metric["Name"] for metrics in about for metric in metrics}
    assert {f"retinue_{name}" for name in names} == {series.split()[0] for series in prometheus}
    (failed,) = (line for line in told if line.get("outcome") == "failed")
    assert failed["runs_total"] == 3
    assert failed["error_code"]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def read(embedded: EmbeddedMetrics) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the lines by the values of their dimensions, checked against the specification."""
    found = {}
    for line in embedded.lines(1_700_000_000.5):
        told = json.loads(line)
        assert told["_aws"]["Timestamp"] == 1_700_000_000_500
        (about,) = told["_aws"]["CloudWatchMetrics"]
        assert about["Namespace"] == "Retinue/labels"
        (dimensions,) = about["Dimensions"]
        assert all(isinstance(told[name], str) for name in dimensions)
        assert len(about["Metrics"]) <= 100
        assert all(isinstance(told[metric["Name"]], int | float) for metric in about["Metrics"])
        found[tuple(told[name] for name in dimensions)] = told
    return found


def test_counters_are_told_as_increases_and_gauges_as_they_are(
    registry: CollectorRegistry,
) -> None:
    runs = Counter("retinue_runs", "", ["detector", "outcome", "error_code"], registry=registry)
    age = Gauge("retinue_queue_age_seconds", "", registry=registry)
    took = Histogram("retinue_commit_seconds", "", registry=registry)
    embedded = EmbeddedMetrics(registry, "Retinue/labels")
    runs.labels("echo", "succeeded", "").inc(3)
    age.set(7)
    took.observe(0.25)
    first = read(embedded)
    assert first["echo", "succeeded"]["runs_total"] == 3
    assert first[()]["queue_age_seconds"] == 7
    assert (first[()]["commit_seconds_sum"], first[()]["commit_seconds_count"]) == (0.25, 1)
    runs.labels("echo", "succeeded", "").inc()
    again = read(embedded)
    assert again["echo", "succeeded"]["runs_total"] == 1
    assert again[()]["queue_age_seconds"] == 7
    assert again[()]["commit_seconds_count"] == 0
    units = {m["Name"]: m["Unit"] for m in first[()]["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units == {
        "queue_age_seconds": "Seconds",
        "commit_seconds_sum": "Seconds",
        "commit_seconds_count": "Count",
    }


def test_the_end_writes_what_is_left(registry: CollectorRegistry) -> None:
    out = io.StringIO()
    counter = Counter("retinue_messages_received", "", registry=registry)
    embedded = EmbeddedMetrics(registry, "Retinue/labels", out)
    embedded.start()
    counter.inc(2)
    embedded.stop()
    assert json.loads(out.getvalue())["messages_received_total"] == 2
