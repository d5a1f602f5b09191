"""Starting, and refusing to start."""

import json
from typing import Any

import psycopg
import pytest
from fakes.plugin import NOT_EXCEPTIONS, Gate, LeavesAtStart
from fakes.rig import Rig
from fakes.waiting import eventually, worker_threads
from psycopg import sql
from pydantic import SecretStr
from retinue_sdk import ConfigurationError
from retinue_workers.bootstrap import build_worker
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.settings.settings import Settings
from sqlalchemy import make_url


@pytest.mark.parametrize(
    ("detectors", "named", "closed"),
    [
        ({"hostile-configuration": {}}, r"hostile-configuration: .*must be z", [True]),
        (
            {"hostile-raises": {"where": "start"}},
            r"hostile-raises.*RuntimeError: hostile: start",
            [True],
        ),
        ({"hostile-raises": {"where": "constructor"}}, r"hostile-raises.*hostile: constructor", []),
        ({"hostile-raises": {"where": "capabilities"}}, r"hostile: capabilities", [False]),
        ({"hostile-raises": {"where": "model_fingerprint"}}, r"model_fingerprint", [False]),
        ({"leaves-at-start": {}}, r"leaves-at-start.*SystemExit: no licence", [True]),
    ],
)
def test_a_detector_that_cannot_start_is_named_and_leaves_nothing_behind(
    memory_rig: Rig, detectors: dict[str, Any], named: str, closed: list[bool]
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        memory_rig.worker({"gate": {}, **detectors}).start()
    eventually(lambda: not worker_threads(), what=f"no threads: {worker_threads()}")
    # What was started is closed; what was only made has nothing to close.
    gates = [detector for detector in memory_rig.detectors if isinstance(detector, Gate)]
    assert [gate.closed for gate in gates] == closed


@pytest.mark.parametrize("how", sorted(NOT_EXCEPTIONS))
@pytest.mark.parametrize(
    ("detector", "where"),
    [
        ("panics", "options"),
        ("panics", "constructor"),
        ("panics", "capabilities"),
        ("panics", "model_fingerprint"),
        ("panics", "start"),
        ("panics-async", "start"),
    ],
)
def test_a_panic_is_named_and_leaves_nothing_behind(
    memory_rig: Rig, detector: str, where: str, how: str
) -> None:
    kind = type(NOT_EXCEPTIONS[how]).__name__
    with pytest.raises(ConfigurationError, match=rf"detector {detector} (.*).*{kind}"):
        memory_rig.worker({"gate": {}, detector: {"where": where, "how": how}}).start()
    eventually(lambda: not worker_threads(), what=f"no threads: {worker_threads()}")
    memory_rig.upload("a.jpg")
    with memory_rig.running({"echo": {}}):  # which does not want that detector
        memory_rig.wait_until_empty()


@pytest.mark.parametrize("how", sorted(NOT_EXCEPTIONS))
def test_options_that_cannot_be_recorded_stop_nothing(
    memory_rig: Rig, logged: list[dict[str, Any]], how: str
) -> None:
    memory_rig.upload("a.jpg")
    with memory_rig.running({"panics": {"where": "dump", "how": how}}):
        memory_rig.wait_until_empty()
    assert "configurations_not_recorded" in [entry["event"] for entry in logged]


def test_after_a_failed_start_every_detector_is_closed(memory_rig: Rig) -> None:
    worker = memory_rig.worker({"gate": {}, "hostile-raises": {"where": "start"}})
    with pytest.raises(ConfigurationError):
        worker.start()
    gate = memory_rig.detectors[0]
    assert isinstance(gate, Gate)
    assert gate.closed
    assert gate.misuse == []


def test_a_worker_that_is_made_and_never_started_has_no_threads(memory_rig: Rig) -> None:
    memory_rig.worker({"echo": {}})
    assert worker_threads() == []


def test_a_worker_can_be_stopped_twice(memory_rig: Rig) -> None:
    worker = memory_rig.worker({"gate": {}})
    worker.start()
    worker.stop()
    worker.stop()
    gate = memory_rig.detectors[0]
    assert isinstance(gate, Gate)
    assert gate.misuse == []


def test_a_start_that_leaves_while_not_ready_is_tried_again(memory_rig: Rig) -> None:
    memory_rig.upload("a.jpg")
    worker = memory_rig.worker({"leaves-at-start": {"exits_at": 2, "ready_at": 4}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.detectors.runner.PROBE_SECONDS", 0.05)
        worker.start()
        try:
            memory_rig.wait_until_empty()
        finally:
            worker.stop()
    detector = memory_rig.detectors[0]
    assert isinstance(detector, LeavesAtStart)
    assert detector.starts == 4


def test_a_start_tells_the_history_what_the_fingerprints_stand_for(memory_rig: Rig) -> None:
    worker = memory_rig.worker({"gate": {}})
    worker.start()
    worker.stop()
    (told,) = memory_rig.history.configurations
    gate = memory_rig.detectors[0]
    assert (told.detector, told.fingerprint) == ("gate", gate.fingerprint())
    assert json.loads(told.options) == gate.options.model_dump(mode="json")


@pytest.mark.parametrize(("detector", "made"), [("echo", False), ("pixels", True), ("bytes", True)])
def test_a_client_of_s3_is_made_at_the_start_if_a_detector_needs_one(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, detector: str, made: bool
) -> None:
    connected: list[ObjectStore] = []
    monkeypatch.setattr(ObjectStore, "connect", lambda store: connected.append(store))
    with memory_rig.running({detector: {}}) as worker:
        del worker
    assert bool(connected) is made


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_key_is_refused(
    postgres_server: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    name = sql.Identifier(f"worker_{encoding.lower()}")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'")
        connection.execute(create.format(name, encoding))
        url = make_url(postgres_server).set(database=f"worker_{encoding.lower()}")
        settings = Settings(
            queue_url="http://127.0.0.1:1/queue",
            database_url=SecretStr(url.render_as_string(hide_password=False)),
            detectors={"echo": {}},
        )
        try:
            with pytest.raises(ConfigurationError, match=f"{encoding}.*needs UTF8"):
                await build_worker(settings)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
