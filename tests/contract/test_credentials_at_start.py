"""At a worker's start, the source of credentials may be down. The configuration must be valid."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aws_client.server import Reply, Server, serving
from retinue_aws import AwsClient
from retinue_sdk import ConfigurationError
from retinue_workers.intake.clients import make_clients
from retinue_workers.intake.errors import AwsUnavailableError, QueueUnavailableError
from retinue_workers.intake.sqs import SqsQueue
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings

ISSUED = {
    "AccessKeyId": "AKIDISSUED",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2999-01-01T00:00:00Z",
}
GOOD = json.dumps(ISSUED).encode()


@dataclass
class World:
    """The surroundings of a worker's start.

    Attributes:
        issuer: The endpoint that issues credentials.
        env: Sets variables.
        folder: For files.
        profile: Lines of the configuration file.
    """

    issuer: Server
    env: pytest.MonkeyPatch
    folder: Path
    profile: list[str] = field(default_factory=list)

    def write_profile(self, *lines: str) -> None:
        (self.folder / "config").write_text("\n".join(["[default]", *lines]))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with serving() as issuer:
        yield World(issuer, monkeypatch, tmp_path)


def container(world: World, broken: Reply) -> Callable[[], None]:
    world.env.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{world.issuer.url}/keys")
    world.issuer.default = broken

    def mend() -> None:
        world.issuer.default = Reply(body=GOOD)

    return mend


def container_token(world: World) -> Callable[[], None]:
    mend = container(world, Reply(body=GOOD))
    token = world.folder / "token"
    world.env.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    return lambda: (token.write_text("Basic abc"), mend())[1]


def instance(world: World, broken: Reply) -> Callable[[], None]:
    world.env.setenv("AWS_EC2_METADATA_DISABLED", "false")
    world.env.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", world.issuer.url)
    world.issuer.default = broken

    def mend() -> None:
        told = json.dumps({"Code": "Success", **ISSUED}).encode()
        replies = [Reply(body=b"a token"), Reply(body=b"a-role"), Reply(body=told)]
        world.issuer.replies.extend(replies)

    return mend


def process(world: World, broken: str) -> Callable[[], None]:
    script = world.folder / "issue.py"
    script.write_text(broken)
    world.write_profile(f"credential_process = {sys.executable} {script}")

    def mend() -> None:
        script.write_text(f"print({json.dumps({'Version': 1, **ISSUED})!r})")

    return mend


def program(world: World) -> Callable[[], None]:
    path = world.folder / "issue"
    world.write_profile(f"credential_process = {path}")

    def mend() -> None:
        path.write_text(f"#!/bin/sh\necho '{json.dumps({'Version': 1, **ISSUED})}'")
        path.chmod(0o700)

    return mend


def nothing(world: World) -> Callable[[], None]:
    lines = "[default]\naws_access_key_id = AKIDISSUED\naws_secret_access_key = secret"
    return lambda: (world.folder / "credentials").write_text(lines) and None


AWAY: dict[str, Callable[[World], Callable[[], None]]] = {
    "a container's 500": lambda world: container(world, Reply(500)),
    "a container's 404": lambda world: container(world, Reply(404, b"<html>")),
    "a container that hangs up": lambda world: container(world, Reply(None)),
    "a container's list": lambda world: container(world, Reply(body=b"[]")),
    "a container's empty object": lambda world: container(world, Reply(body=b"{}")),
    "a container's page": lambda world: container(world, Reply(body=b"<html>")),
    "a container's bytes": lambda world: container(world, Reply(body=b"\xff\xfe")),
    "a container's date": lambda world: container(
        world, Reply(body=json.dumps({**ISSUED, "Expiration": "soon"}).encode())
    ),
    "a container's token": container_token,
    "an instance's 500": lambda world: instance(world, Reply(500)),
    "an instance's page": lambda world: instance(world, Reply(body=b"<html>")),
    "an instance that hangs up": lambda world: instance(world, Reply(None)),
    "a process that fails": lambda world: process(world, "raise SystemExit(1)"),
    "a process that says nothing": lambda world: process(world, ""),
    "a process that says something else": lambda world: process(world, "print([])"),
    "a program that is missing": program,
    "nothing": nothing,
}


@pytest.mark.parametrize("break_it", AWAY.values(), ids=AWAY.keys())
def test_what_is_away_is_waited_for(world: World, break_it: Callable[[World], Any]) -> None:
    mend = break_it(world)
    for _ in range(2):
        with pytest.raises(AwsUnavailableError, match="no AWS credentials"):
            make_clients(connections=1, wait_time_seconds=1)
    mend()
    clients = make_clients(connections=1, wait_time_seconds=1)
    for client in (clients.sqs, clients.polling_sqs, clients.s3()):
        made: Any = client
        assert made._request_signer._credentials.access_key == "AKIDISSUED"


STS = Reply(
    body=b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"
    b"<Credentials><AccessKeyId>AKIDISSUED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
    b"<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
    b"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
    headers={"Content-Type": "text/xml"},
)


def web_identity(world: World, broken: Reply | None) -> Callable[[], None]:
    token = world.folder / "token"
    world.env.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    world.env.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mine")
    world.env.setenv("AWS_ENDPOINT_URL_STS", world.issuer.url)
    world.issuer.default = broken or STS
    if broken:
        token.write_text("a token")

    def mend() -> None:
        token.write_text("a token")
        world.issuer.default = STS

    return mend


def sso(world: World) -> Callable[[], None]:
    world.write_profile(
        "sso_start_url = https://example.awsapps.com/start",
        "sso_region = eu-west-1",
        "sso_account_id = 123456789012",
        "sso_role_name = mine",
    )
    return lambda: None


LATER: dict[str, Callable[[World], Callable[[], None]]] = {
    "STS's 500": lambda world: web_identity(world, Reply(500)),
    "STS's refusal": lambda world: web_identity(
        world,
        Reply(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
    ),
    "STS's page": lambda world: web_identity(world, Reply(body=b"<html>")),
    "a token that is not there yet": lambda world: web_identity(world, None),
    "a login that is missing": sso,
}


@pytest.mark.parametrize("break_it", LATER.values(), ids=LATER.keys())
async def test_what_is_asked_at_the_first_call_is_waited_for(
    world: World, break_it: Callable[[World], Any]
) -> None:
    mend = break_it(world)
    with serving() as sqs:
        world.env.setenv("AWS_ENDPOINT_URL_SQS", sqs.url)
        queue = SqsQueue(
            AwsClient(make_clients(connections=1).sqs),
            "http://localhost/000000000000/photos",
            wait_seconds=0,
            visibility_timeout_seconds=30,
        )
        with pytest.raises(QueueUnavailableError):
            await queue.connect()
        assert sqs.requests == []
        mend()
        if break_it is not sso:
            await queue.connect()
            assert "AKIDISSUED" in sqs.requests[0].headers["authorization"]
        await queue.close()


WRONG: dict[str, dict[str, str]] = {
    "a profile that is missing": {"AWS_PROFILE": "missing"},
    "half of the keys": {"AWS_ACCESS_KEY_ID": "AKID"},
    "a container elsewhere": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/keys"},
    "no region": {"AWS_REGION": ""},
    "an endpoint that is no URL": {"AWS_ENDPOINT_URL": "nonsense"},
    "an unknown mode of defaults": {"AWS_DEFAULTS_MODE": "mine"},
    "a metadata timeout that is no number": {
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_METADATA_SERVICE_TIMEOUT": "long",
    },
    "a metadata endpoint that is no URL": {
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "no url",
    },
    "a source that is missing": {"AWS_PROFILE": "sourceless"},
    "an unknown source": {"AWS_PROFILE": "unknown"},
    "a circle of sources": {"AWS_PROFILE": "circle"},
    "a login without an account": {"AWS_PROFILE": "half"},
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
ROLE = "role_arn = arn:aws:iam::123456789012:role/mine"
PROFILES = f"""
[profile sourceless]
{ROLE}
source_profile = missing
[profile unknown]
{ROLE}
credential_source = Moon
[profile circle]
{ROLE}
source_profile = other
[profile other]
{ROLE}
source_profile = circle
[profile half]
sso_start_url = https://example.awsapps.com/start
sso_role_name = mine
"""
OF_CREDENTIALS = {
    "half of the keys",
    "a container elsewhere",
    "a metadata timeout that is no number",
    "a metadata endpoint that is no URL",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_never_work_is_a_wrong_setting(world: World, case: str) -> None:
    (world.folder / "config").write_text(PROFILES)
    if case not in OF_CREDENTIALS and "AWS_PROFILE" not in WRONG[case]:
        for name, value in KEYS.items():
            world.env.setenv(name, value)
    for name, value in WRONG[case].items():
        world.env.setenv(name, value)
    with pytest.raises(ConfigurationError):
        make_clients(connections=1)


def test_a_file_that_cannot_be_read_is_a_wrong_setting(world: World) -> None:
    (world.folder / "config").write_text("no section")
    with pytest.raises(ConfigurationError):
        make_clients(connections=1)


def test_a_password_of_iam_waits_for_credentials(world: World) -> None:
    from pydantic import SecretStr
    from retinue_history import HistoryUnavailableError

    mend = container(world, Reply(500))
    url = "postgresql://worker@localhost:5432/db?sslmode=verify-full&sslrootcert=x"
    source = password_source(Settings(database_url=SecretStr(url), database_auth="iam"), url)
    assert source is not None
    with pytest.raises(HistoryUnavailableError, match="IAM"):
        source()
    mend()
    assert "AKIDISSUED" in source()
