"""``retinue models`` against the endpoint and a database."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from infra.terraform import last_line, source
from retinue_cli.app import retinue
from retinue_history import ConnectionPool, ModelSessions
from retinue_rekognition_emulator import Endpoint

Run = Callable[..., Result]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with Endpoint() as served:
        versions = served.operations.versions
        versions.start_seconds = versions.stop_seconds = 0
        for name, value in {
            "AWS_ENDPOINT_URL_REKOGNITION": served.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield served
        assert served.broken == []


@pytest.fixture
def run(cloud: Endpoint, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    del cloud
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)

    def call(*words: str) -> Result:
        return CliRunner().invoke(retinue, ["models", *words])

    return call


def idle_models(output: str) -> int:
    """Return the number that the idle-model alarm would count in the reaper's log."""
    module = source("modules/model_reaper/main.tf")
    pattern = re.search(r'^  pattern += "(.*)"$', module, re.MULTILINE)
    assert pattern is not None
    phrases = re.findall(r'\?\\"(.+?)\\"', pattern[1])  # one of them is enough
    assert len(phrases) == 2
    return sum(any(phrase in line for phrase in phrases) for line in output.splitlines())


def test_the_reaper_needs_the_database_alone(run: Run, cloud: Endpoint, history_url: str) -> None:
    versions = cloud.operations.versions
    arn = versions.add("birds", "v1").arn
    pool = ConnectionPool(history_url)
    sessions = ModelSessions(pool)
    kept = sessions.acquire_lease(
        arn,
        detector="rekognition-custom-labels",
        options={"project_version_arn": arn},
        holder="a worker",
        lease_seconds=30,
    )
    versions.start(arn, 1)
    kept_running = run("reap").output
    assert "in_use: " in kept_running
    assert idle_models(kept_running) == 0
    assert versions.get(arn).status == "RUNNING"
    with pool.connection() as connection:
        connection.execute("UPDATE models SET expires_at = now() - interval '1 second'")
    assert "controlled by no worker" in run("status").output
    reaped = run("reap")
    assert reaped.exit_code == 0, reaped.output
    assert f"stopped: {arn}" in reaped.output
    assert idle_models(reaped.output) == 1
    assert versions.get(arn).status == "STOPPED"
    assert "idle: " in run("reap").output
    cost = run("cost").output
    assert "found by the reaper" in cost
    assert "1 session, $" in cost
    assert kept.token == 1
    pool.close()


def test_the_reaper_finds_strangers_by_pattern(run: Run, cloud: Endpoint) -> None:
    versions = cloud.operations.versions
    birds, bees = versions.add("birds", "v1").arn, versions.add("bees", "v1").arn
    versions.start(birds, 1)
    versions.start(bees, 1)
    assert run("reap").output == "models looked at: 0\n"
    assert "stopped: " in run("reap", "--models", "*:project/birds/*").output
    assert versions.get(birds).status == "STOPPED"
    assert versions.get(bees).status == "RUNNING"


PANICS = """
from retinue_sdk import *

class PanicException(BaseException):
    pass

class Panics(Detector[DetectorOptions]):
    name = "a-panics"
    version = "1"
    capabilities = Capabilities(Input.REFERENCE)

    @classmethod
    def find_models(cls, patterns):
        raise PanicException("boom")

    def detect(self, images):
        return []
"""


def test_the_reaper_stops_what_it_finds_beside_a_plugin_that_fails(
    run: Run, cloud: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "panics.py").write_text(PANICS)
    monkeypatch.setenv("RETINUE_PLUGINS_DIR", str(tmp_path))
    versions = cloud.operations.versions
    birds = versions.add("birds", "v1").arn
    versions.start(birds, 1)
    reaped = run("reap", "--models", "*", "--json")
    assert [one["model"] for one in json.loads(reaped.stdout)] == [birds]
    assert f"stopped: {birds}" in reaped.output
    assert versions.get(birds).status == "STOPPED"
    assert reaped.exit_code == 1
    assert "cannot list hosted models: a-panics: PanicException: boom" in reaped.output


def test_the_reaper_may_do_what_it_calls_and_nothing_else(run: Run, cloud: Endpoint) -> None:
    versions = cloud.operations.versions
    versions.start(versions.add("birds", "v1").arn, 1)
    cloud.calls.clear()
    assert "stopped: " in run("reap", "--models", "*:project/birds/*").output
    module = source("modules/model_reaper/main.tf")
    assert set(cloud.calls) == set(re.findall(r'"rekognition:(\w+)"', module))


def test_a_model_that_cannot_be_asked_is_told(run: Run, cloud: Endpoint, history_url: str) -> None:
    del cloud
    pool = ConnectionPool(history_url)
    ModelSessions(pool).acquire_lease(
        "x", detector="nobody", options={}, holder="w", lease_seconds=0
    )
    pool.close()
    told = run("reap")
    assert told.exit_code == 1
    assert "no plugin has the detector nobody" in told.output
    assert idle_models(told.output) == 1
    assert last_line("modules/model_reaper/main.tf") in told.output


def test_start_and_stop_by_hand(
    run: Run, cloud: Endpoint, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = cloud.operations.versions
    arn = versions.add("birds", "v1").arn
    assert run("start").exit_code == 2
    wanted = {"rekognition-custom-labels": {"project_version_arn": arn}}
    monkeypatch.setenv("RETINUE_DETECTORS", json.dumps(wanted))
    refused = run("start")
    assert refused.exit_code == 2
    assert "no worker has controlled" in refused.output
    pool = ConnectionPool(history_url)
    ModelSessions(pool).acquire_lease(
        arn,
        detector="rekognition-custom-labels",
        options=wanted["rekognition-custom-labels"],
        holder="w",
        lease_seconds=0,
    )
    assert "will run for 60 minutes" in run("start").output
    versions.start(arn, 1)
    assert "`retinue models start` asked for it" in run("reap").output
    assert "is stopping" in run("stop").output
    assert versions.get(arn).status == "STOPPED"
    assert "does not run: STOPPED" in run("stop").output
    pool.close()
