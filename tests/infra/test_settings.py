"""The variables that task definitions set, held against the settings that the worker reads."""

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner
from infra.terraform import resources, source
from retinue_cli.app import retinue
from retinue_deploy.pool_settings import SETTINGS_OF_POOLS
from retinue_history.schema.logins import IAM_LOGINS
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.settings.settings import PREFIX, STOP_SECONDS, Settings
from sqlalchemy import make_url

NOT_OURS = {"AWS_REGION", "TMPDIR"}
"""Variables that boto3 and Python read."""

RETENTION = {
    "retention_detections_months",
    "retention_raw_responses_days",
    "retention_deleted_images_days",
}
"""Settings of `retinue maintain`."""

NOT_FOR_WORKERS = {"archive", "query_database_url", *RETENTION}
"""Settings that no worker reads."""

OWNERS = {"retinue-test-maintenance", "retinue-test-migrations"}
"""Tasks that own the tables."""

POOLS = ["cascade", "labels", "faces", "objects", "video"]


@pytest.fixture(scope="session")
def containers(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the container of each task definition, by its family."""
    return {
        values["family"]: json.loads(values["container_definitions"])[0]
        for values in resources(stack, "aws_ecs_task_definition").values()
    }


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["environment"]}


def test_there_is_a_task_definition_for_everything(containers: dict[str, Any]) -> None:
    assert set(containers) == {
        f"retinue-test-{name}"
        for name in [*POOLS, "maintenance", "migrations", "model-reaper", "operator"]
    }


def test_every_variable_is_a_setting_with_a_good_value(
    containers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for family, container in containers.items():
        given = variables(container)
        ours = {name for name in given if name.startswith(PREFIX)}
        assert set(given) - ours == NOT_OURS, family
        with monkeypatch.context() as environment:
            for name, value in given.items():
                environment.setenv(name, value)
            settings = Settings.load()
        assert settings.require_database_url().startswith("postgresql://"), family


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_gets_what_it_needs(containers: dict[str, Any], pool: str) -> None:
    given = variables(containers[f"retinue-test-{pool}"])
    assert {"RETINUE_QUEUE_URL", "RETINUE_DATABASE_URL", "RETINUE_DETECTORS"} <= set(given)


def test_a_pool_can_set_every_setting_of_a_worker(containers: dict[str, Any]) -> None:
    always = {
        name.removeprefix(PREFIX).lower()
        for name in variables(containers["retinue-test-labels"])
        if name.startswith(PREFIX)
    }
    listed = re.search(
        r"keys\(var\.config\.settings\) : contains\(\[(.*?)\]",
        source("modules/pool/config.tf"),
        re.DOTALL,
    )
    assert listed is not None
    on_request = set(re.findall(r'"(\w+)"', listed[1]))
    assert always & on_request == set()
    assert always | on_request == set(Settings.model_fields) - NOT_FOR_WORKERS


def test_a_deployment_checks_every_setting_that_a_pool_can_set(containers: dict[str, Any]) -> None:
    always = {
        name.removeprefix(PREFIX).lower()
        for name in variables(containers["retinue-test-labels"])
        if name.startswith(PREFIX)
    }
    same_everywhere = {
        *("queue_url", "database_url", "database_auth", "plugin_options"),
        *("health_port", "metrics_namespace", "log_format"),
    }
    checked = set(re.findall(r"(\w+) = ", SETTINGS_OF_POOLS))
    assert checked == always - same_everywhere


def test_maintenance_alone_is_told_how_long_things_are_kept(containers: dict[str, Any]) -> None:
    told = {
        family: {name for name in variables(container) if name.startswith("RETINUE_RETENTION_")}
        for family, container in containers.items()
    }
    assert told.pop("retinue-test-maintenance") == {f"{PREFIX}{name}".upper() for name in RETENTION}
    assert not any(told.values())


def test_only_owners_know_a_password_and_by_reference(containers: dict[str, Any]) -> None:
    for family, container in containers.items():
        secrets = {entry["name"]: entry["valueFrom"] for entry in container["secrets"]}
        owner = family in OWNERS
        assert set(secrets) == ({"PGUSER", "PGPASSWORD"} if owner else set()), family
        assert all(value.startswith("arn:aws:secretsmanager:") for value in secrets.values())
        for name, value in variables(container).items():
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{family}: {name} has a password"


def test_everyone_else_signs_in_by_iam(
    containers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for family, container in containers.items():
        given = variables(container)
        if family in OWNERS:
            assert "RETINUE_DATABASE_AUTH" not in given
            continue
        with monkeypatch.context() as environment:
            for name, value in given.items():
                environment.setenv(name, value)
            settings = Settings.load()
            assert password_source(settings, settings.require_database_url()) is not None, family
        login = make_url(given["RETINUE_DATABASE_URL"]).username
        assert login in IAM_LOGINS, family


def test_commands_lose_no_output_and_a_slow_log_stops_no_worker(containers: dict[str, Any]) -> None:
    modes = {
        family.removeprefix("retinue-test-"): container["logConfiguration"]["options"]["mode"]
        for family, container in containers.items()
    }
    assert modes.pop("operator") == modes.pop("migrations") == "blocking"
    assert set(modes.values()) == {"non-blocking"}


def test_commands_exist(containers: dict[str, Any]) -> None:
    for family, container in containers.items():
        command, *arguments = container["command"]
        done = CliRunner().invoke(retinue, [command, *arguments, "--help"])
        assert done.exit_code == 0, f"{family}: {done.output}"


def test_models_have_the_fields_and_defaults_of_the_settings() -> None:
    [models] = re.findall(
        r"hosted_models = optional\(map\(object\(\{(.*?)\}\)\), \{\}\)",
        source("pools.tf"),
        re.DOTALL,
    )
    given = dict(re.findall(r"^\s+(\w+)\s+= optional\(\w+(?:, (\d+))?", models, re.MULTILINE))
    assert given.keys() == ModelPolicy.model_fields.keys()
    policy = ModelPolicy()
    for name, default in given.items():
        if default:
            assert getattr(policy, name) == float(default), name


@pytest.mark.parametrize("pool", ["labels", "faces", "video"])
def test_detectors_take_the_options_as_they_arrive(
    containers: dict[str, Any], pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = variables(containers[f"retinue-test-{pool}"])
    monkeypatch.setenv("AWS_REGION", given["AWS_REGION"])
    wanted = json.loads(given["RETINUE_DETECTORS"])
    assert [detector.name for detector in Plugins().make(wanted)] == list(wanted)


def test_routes_arrive_as_they_were_meant(
    containers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(containers["retinue-test-cascade"]).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    [found] = settings.routes["rekognition-faces"].found
    assert settings.routes["rekognition-faces"].key == ("uploads/*",)
    assert (found.detector, found.label, found.min_confidence) == ("onnx-objects", ("person",), 0.5)
    assert (found.min_count, found.if_unknown) == (1, "skip")
    assert list(settings.isolation) == ["onnx-objects"]
    assert settings.plugin_options["eventbridge"]["bus"] == (
        "arn:aws:events:eu-west-1:123456789012:event-bus/retinue"
    )


@pytest.mark.parametrize("pool", POOLS)
def test_the_worker_stops_before_ecs_kills_it(containers: dict[str, Any], pool: str) -> None:
    container = containers[f"retinue-test-{pool}"]
    given = variables(container)
    assert STOP_SECONDS <= 10, "modules/pool/config.tf leaves ten seconds"
    assert container["stopTimeout"] > float(given["RETINUE_SHUTDOWN_GRACE_SECONDS"]) + 10
    assert float(given["RETINUE_STOP_TIMEOUT_SECONDS"]) == container["stopTimeout"]


@pytest.mark.parametrize("pool", POOLS)
def test_ecs_asks_where_the_worker_answers(containers: dict[str, Any], pool: str) -> None:
    container = containers[f"retinue-test-{pool}"]
    *command, port = container["healthCheck"]["command"]
    assert command == ["CMD", "python", "-m", "retinue_workers.ops.health"]
    assert port == variables(container)["RETINUE_HEALTH_PORT"]


@pytest.mark.parametrize("pool", POOLS)
def test_a_message_stays_hidden_while_a_detector_works(
    stack: dict[str, Any], containers: dict[str, Any], pool: str
) -> None:
    given = variables(containers[f"retinue-test-{pool}"])
    visibility_seconds = int(given["RETINUE_VISIBILITY_TIMEOUT_SECONDS"])
    call_seconds = float(given["RETINUE_DETECTOR_TIMEOUT_SECONDS"])
    heartbeat_seconds = float(given["RETINUE_HEARTBEAT_SECONDS"])
    assert call_seconds + heartbeat_seconds <= visibility_seconds
    queue = resources(stack, "aws_sqs_queue")[f'module.pool["{pool}"].aws_sqs_queue.this']
    assert queue["visibility_timeout_seconds"] == visibility_seconds
