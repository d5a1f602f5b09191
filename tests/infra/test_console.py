"""The console's service: its settings, held against the console's own, and its permissions."""

import json
from typing import Any

import pytest
from infra.terraform import ROOT, Suite, resources
from retinue_console.access.identity import Right
from retinue_console.settings import PREFIX, ConsoleSettings
from retinue_history.schema.logins import IAM_LOGINS
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings
from sqlalchemy import make_url

pytestmark = pytest.mark.timeout(300)  # the first test waits for Terraform


@pytest.fixture(scope="module")
def console_stack(suite: Suite) -> dict[str, Any]:
    """The state of an environment with a console, on an imaginary account."""
    outcome = suite.outcome(ROOT)
    assert outcome.problems == ()
    return outcome.states["console"]


@pytest.fixture(scope="module")
def container(console_stack: dict[str, Any]) -> dict[str, Any]:
    found = [
        json.loads(values["container_definitions"])[0]
        for values in resources(console_stack, "aws_ecs_task_definition").values()
        if values["family"] == "retinue-test-console"
    ]
    return dict(found[0])


def test_the_console_starts_with_what_it_is_given(
    container: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in container["environment"]:
        monkeypatch.setenv(entry["name"], entry["value"])
    secrets = [entry["name"] for entry in container["secrets"]]
    assert secrets == [f"{PREFIX}OIDC_CLIENT_SECRET"]
    monkeypatch.setenv(secrets[0], "0123456789abcdef")
    settings = ConsoleSettings.load()
    assert (settings.sign_in, settings.host, settings.login_claim) == ("oidc", "0.0.0.0", "sub")
    assert settings.group_rights["leads"] == {Right.ADMIN, Right.SQL}
    command, *_, port = container["healthCheck"]["command"]
    assert (command, port) == ("CMD", str(settings.port))

    shared = Settings.load()
    urls = [shared.query_database_url, settings.review_database_url]
    roles = []
    for url in urls:
        assert url is not None
        assert password_source(shared, url.get_secret_value()) is not None  # by IAM
        roles.append(IAM_LOGINS[str(make_url(url.get_secret_value()).username)])
    assert roles == ["retinue_reader", "retinue_reviewer"]


def test_the_console_may_read_images_and_sign_in_and_nothing_else(
    console_stack: dict[str, Any],
) -> None:
    policies = resources(console_stack, "aws_iam_role_policy")
    statements = json.loads(policies["module.console[0].aws_iam_role_policy.task"]["policy"])
    allowed = {
        action: statement["Resource"]
        for statement in statements["Statement"]
        for action in statement["Action"]
    }
    assert allowed.keys() == {
        "rds-db:connect",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:ListBucket",
        "kms:Decrypt",
    }
    logins = [login.split("/")[-1] for login in allowed["rds-db:connect"]]
    assert [IAM_LOGINS[login] for login in logins] == ["retinue_reader", "retinue_reviewer"]
    for action in ("s3:GetObject", "s3:GetObjectVersion"):
        [objects] = allowed[action]
        assert objects == "arn:aws:s3:::retinue-test-images-123456789012-eu-west-1/*"


def test_only_the_load_balancer_reaches_the_console(console_stack: dict[str, Any]) -> None:
    rules = {
        address: values
        for address, values in resources(
            console_stack, "aws_vpc_security_group_ingress_rule"
        ).items()
        if address.startswith("module.console[0].")
    }
    open_to = {values["cidr_ipv4"] for values in rules.values()}
    assert open_to == {None, "10.0.0.0/8"}
    [balancer] = resources(console_stack, "aws_lb").values()
    assert balancer["internal"]
