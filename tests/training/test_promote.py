"""A pool goes from one version to the next, or stays where it was."""

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from retinue_history import ConnectionPool, ModelSessions
from retinue_rekognition_emulator import Endpoint, Failure
from retinue_rekognition_emulator.training import Trained

Cli = Callable[..., Result]
DETECTOR = "rekognition-custom-labels"
SESSION: dict[str, Any] = {"units": 1, "usd_per_unit_minute": Decimal("0.06"), "reason": "work"}


@pytest.fixture
def sessions(history: str) -> Iterator[ModelSessions]:
    pool = ConnectionPool(history)
    yield ModelSessions(pool)
    pool.close()


@pytest.fixture
def pool(endpoint: Endpoint, tmp_path: Path, sessions: ModelSessions) -> tuple[str, str]:
    """ARNs of the version in use, which runs, and of the next one; the pool's file is pool.env."""
    del sessions
    versions = endpoint.operations.versions
    versions.start_seconds = versions.stop_seconds = 0
    old, new = versions.add("parts", "v1").arn, versions.add("parts", "v2").arn
    for arn, f1 in ((old, 0.8), (new, 0.9)):
        score(endpoint, arn, f1)
    other = versions.add("birds", "v1").arn
    (tmp_path / "pool.env").write_text(f"MODEL={old}\nOTHER={other}\n", "utf-8")
    versions.start(old, 1)
    return old, new


def score(endpoint: Endpoint, arn: str, f1: float) -> None:
    output = {"S3Bucket": "a-bucket"}
    endpoint.operations.projects.training._trained[arn] = Trained(0.0, 60.0, f1, output)


def statuses(endpoint: Endpoint, *arns: str) -> list[str]:
    return [endpoint.operations.versions.get(arn).status for arn in arns]


def promote(cli: Cli, arn: str, *more: Any, apply: str = "true", exit_code: int = 0) -> str:
    result = cli(
        "models", "promote", arn, "--config", "pool.env", "--apply", apply, "--yes", *more,
        exit_code=exit_code,
    )  # fmt: skip
    return result.stdout + result.stderr


def test_blue_green(
    cli: Cli, endpoint: Endpoint, pool: tuple[str, str], sessions: ModelSessions
) -> None:
    old, new = pool
    worker = sessions.acquire_lease(
        old, detector=DETECTOR, options={}, holder="worker", lease_seconds=600
    )
    sessions.begin_session(old, worker.token, **SESSION)
    sessions.release_lease(old, "worker")  # as a worker that is stopped by the deployment
    said = promote(cli, new, apply="cp pool.env applied.env")
    assert "the pool uses v2; v1 is stopped" in said
    assert statuses(endpoint, old, new) == ["STOPPED", "RUNNING"]
    applied = Path("applied.env").read_text("utf-8")
    assert new in applied
    assert old not in applied
    order = [name for name, _ in endpoint.requests if name.startswith(("Start", "Stop"))]
    assert order == ["StartProjectVersion", "StopProjectVersion"]
    assert "names" in promote(cli, new, exit_code=2)
    blue, green = sorted(sessions.list_sessions(), key=lambda one: one.model)
    assert (green.model, green.start_reason, green.units) == (new, "to take over from v1", 1)
    assert green.running_at is not None
    assert green.stopped_at is None
    assert (blue.model, blue.stop_reason) == (old, "v2 took over")
    assert blue.stopped_at is not None
    assert [one.holder for one in sessions.list_models()] == [None, None], "for the workers to take"


def test_no_reaper_and_no_controller_acts_meanwhile(
    cli: Cli, endpoint: Endpoint, pool: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    old, new = pool
    reap = f"{sys.executable} -m retinue_cli models reap --models '*/version/v2/*' > reaped"
    said = cli(
        "models", "promote", new, "--config", "pool.env", "--apply", f"echo deployed; {reap}",
        "--yes", "--json",
    ).stdout  # fmt: skip
    changed = {"config": "pool.env", "before": old, "after": new, "units": 1}
    assert json.loads(said) == changed
    written = capfd.readouterr()
    assert (written.out, written.err.strip()) == ("", "deployed")
    assert f"in_use: {new}: controlled by promotion:" in Path("reaped").read_text("utf-8")
    assert statuses(endpoint, new) == ["RUNNING"]


def test_a_worker_that_keeps_a_version_is_left_alone(
    cli: Cli,
    endpoint: Endpoint,
    pool: tuple[str, str],
    sessions: ModelSessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = pool
    monkeypatch.setattr("retinue_cli.training.lease.PATIENCE_SECONDS", 0)
    sessions.acquire_lease(new, detector=DETECTOR, options={}, holder="worker 7", lease_seconds=600)
    said = promote(cli, new, exit_code=1)
    assert "is controlled by worker 7" in said
    assert "Nothing was switched" in said
    assert statuses(endpoint, old, new) == ["RUNNING", "TRAINING_COMPLETED"]
    sessions.release_lease(new, "worker 7")
    sessions.acquire_lease(old, detector=DETECTOR, options={}, holder="worker 8", lease_seconds=600)
    said = promote(cli, new, exit_code=1)
    assert "The pool uses v2, but" in said
    assert "is controlled by worker 8, so it keeps running" in said
    assert statuses(endpoint, old, new) == ["RUNNING", "RUNNING"]


def test_what_fails_is_undone(cli: Cli, endpoint: Endpoint, pool: tuple[str, str]) -> None:
    old, new = pool
    before = Path("pool.env").read_text("utf-8")

    # The deployment fails once, and succeeds when everything is put back.
    said = promote(
        cli, new, apply="grep -q parts/version/v1/ pool.env && touch restored", exit_code=1
    )
    assert "The pool uses v1 again" in said
    assert Path("restored").exists()
    assert statuses(endpoint, old, new) == ["RUNNING", "STOPPED"]

    # Ctrl-C during the deployment.
    said = promote(
        cli, new, apply="rm restored 2>/dev/null && kill -INT $PPID || true", exit_code=130
    )
    assert "interrupted\nThe pool uses v1 again" in said
    assert statuses(endpoint, old, new) == ["RUNNING", "STOPPED"]

    endpoint.operations.versions.failing_starts.append("no capacity")
    said = promote(cli, new, exit_code=1)
    assert "v2 does not run: FAILED: no capacity" in said
    assert statuses(endpoint, old, new) == ["RUNNING", "FAILED"]

    assert Path("pool.env").read_text("utf-8") == before

    said = promote(cli, new, apply="false", exit_code=1)
    assert "Going back failed too" in said
    assert statuses(endpoint, old, new) == ["RUNNING", "RUNNING"]


def test_a_start_whose_answer_is_lost_counts(
    cli: Cli, endpoint: Endpoint, pool: tuple[str, str]
) -> None:
    old, new = pool
    lost = Failure("InvalidParameterException", took_effect=True)
    endpoint.faults.fail_next("StartProjectVersion", lost)
    promote(cli, new)
    assert statuses(endpoint, old, new) == ["STOPPED", "RUNNING"]


def test_refused_before_anything_happens(
    cli: Cli, endpoint: Endpoint, pool: tuple[str, str], sessions: ModelSessions
) -> None:
    old, new = pool
    score(endpoint, new, 0.7)
    assert "--force REASON" in promote(cli, new, exit_code=2)
    assert "StartProjectVersion" not in endpoint.calls
    missing = new.replace("/v2/", "/v9/")
    assert "there is no model version" in promote(cli, missing, exit_code=1)
    assert "isn't the ARN" in promote(cli, "arn:v2", exit_code=2)
    promote(cli, new, "--force", "v1 missed the new parts")
    [green] = [one for one in sessions.list_sessions() if one.model == new]
    assert green.start_reason == "to take over from v1: v1 missed the new parts"
    assert statuses(endpoint, old, new) == ["STOPPED", "RUNNING"]
    Path("pool.env").write_text("MODEL=\n", "utf-8")
    assert "names 0 versions of the project parts" in promote(cli, old, exit_code=2)
