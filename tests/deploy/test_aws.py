"""Buckets, the registry and identities, over the wire, on an emulator that serves them."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.waiting import eventually
from retinue_cli.local.emulator_environment import EmulatorEnvironment
from retinue_cli.local.endpoint import AwsEndpoint
from retinue_deploy.account import Account
from retinue_deploy.bootstrap import STATE_KEY, Bootstrap
from retinue_deploy.bucket import purge
from retinue_deploy.bucket_events import event_problems
from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Plan
from retinue_deploy.registry import Registry

ACCOUNT = "000000000000"


@pytest.fixture(scope="session")
def emulator(
    emulator_environment: EmulatorEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AwsEndpoint]:
    """Yield the laptop's emulator, with ECR besides."""
    folder = tmp_path_factory.mktemp("emulator")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.defpath, "HOME": str(folder), "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port), "SERVICES": "s3,sts,ecr", "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0", "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }  # fmt: skip
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [emulator_environment.python, "-I", "-m", "ministack"],
            env=environment, cwd=folder, stdout=log, stderr=log,
        ) as process,
    ):  # fmt: skip
        try:
            eventually(lambda: _listens(port), within_seconds=30, what="the emulator to listen")
            yield AwsEndpoint(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def account(emulator: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return an account of the emulator's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in emulator.environment().items():
        if name.startswith("AWS_") or name.lower() == "no_proxy":
            monkeypatch.setenv(name, value)
    return Account()


def test_who_we_are(account: Account) -> None:
    assert account.region == "us-east-1"
    assert account.identity() == ACCOUNT


def test_no_credentials(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    del account
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DeployError, match="no valid AWS credentials"):
        Account().identity()


def test_a_bucket_is_emptied_of_every_version(account: Account) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="full")
    s3.put_bucket_versioning(Bucket="full", VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "a", "a+b c/ü.jpg"):
        s3.put_object(Bucket="full", Key=key, Body=b"x")
    s3.delete_object(Bucket="full", Key="a")
    s3.create_multipart_upload(Bucket="full", Key="unfinished")
    told: list[int] = []
    assert purge(s3, "full", told.append) == 4
    assert told == [4]
    s3.delete_bucket(Bucket="full")
    assert purge(s3, "full") == 0


def manifest(mark: str) -> str:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
              "digest": f"sha256:{mark * 64}"}  # fmt: skip
    kind = "application/vnd.oci.image.manifest.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []})


class Recorder:
    """A builder that notes what it is told."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []

    def build(self, *about: str) -> None:
        self.did.append(("build", *about))

    def login(self, *about: str) -> None:
        self.did.append(("login", *about))

    def push(self, *about: str) -> None:
        self.did.append(("push", *about))


def test_the_registry_knows_its_tags_and_how_to_sign_in(account: Account) -> None:
    ecr = account.client("ecr")
    builder: Any = Recorder()
    registry = Registry(ecr, "images", builder, "abc")
    assert registry.missing("1", ["cpu"]) == ["cpu"]
    url = ecr.create_repository(repositoryName="images")["repository"]["repositoryUri"]
    assert registry.missing("1", ["cpu", "cuda"]) == ["cpu", "cuda"]
    for tag, mark in (("1", "a"), ("1-cuda", "b")):
        ecr.put_image(repositoryName="images", imageTag=tag, imageManifest=manifest(mark))
    time.sleep(0.01)
    ecr.put_image(repositoryName="images", imageTag="2", imageManifest=manifest("c"))
    assert registry.missing("1", ["cpu", "cuda"]) == []
    assert registry.missing("2", ["cpu", "cuda"]) == ["cuda"]
    assert set(registry.newest()) == {"1", "2"}
    for _ in range(2):
        registry.keep("1", "dev", ["cpu", "cuda"])
    kept = ecr.describe_images(
        repositoryName="images", imageIds=[{"imageTag": "deployed_dev_1-cuda"}]
    )
    assert set(kept["imageDetails"][0]["imageTags"]) == {"1-cuda", "deployed_dev_1-cuda"}
    assert set(registry.newest()) == {"1", "2"}
    registry.build("3", "cuda")
    registry.push("3", "cuda")
    [built, (_, host, user, password), pushed] = builder.did
    assert built == ("build", f"{url}:3-cuda", "cuda", "abc")
    assert (host, user) == (url.partition("/")[0], "AWS")
    assert password
    assert pushed == ("push", f"{url}:3-cuda")


def test_without_a_builder_it_says_so(account: Account) -> None:
    with pytest.raises(DeployError, match="no Docker engine, Podman or Buildah"):
        Registry(account.client("ecr"), "images", None, "").build("1", "cpu")


class HalfTerraform:
    """Makes the bucket, and then the registry; each apply may break after the first."""

    def __init__(self, folder: Path, account: Account, bucket: str) -> None:
        self.folder = folder
        self.breaks = True
        self.lost: tuple[str, ...] = ()
        self.states: list[bytes] = []
        self._account = account
        self._bucket = bucket

    def init(self) -> None:
        """Nothing to get."""

    def select_workspace(self, name: str) -> None:
        self._state = self.folder / "terraform.tfstate.d" / name / "terraform.tfstate"

    def plan(self, file: str) -> Plan:
        self.states.append(self._state.read_bytes() if self._state.exists() else b"")
        return Plan({}, self.lost)

    def apply(self, file: str) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            self._account.client("s3").create_bucket(Bucket=self._bucket)
            self._state.write_bytes(b"bucket")
        if self.breaks:
            raise DeployError("broke off")
        ecr = self._account.client("ecr")
        found = ecr.describe_repositories()["repositories"]
        if "other" not in {one["repositoryName"] for one in found}:
            ecr.create_repository(repositoryName="other")
        self._state.write_bytes(b"bucket, registry")


def test_half_a_bootstrap_is_finished_from_another_clone(account: Account, tmp_path: Path) -> None:
    def bootstrap(clone: str) -> tuple[Bootstrap, HalfTerraform]:
        (tmp_path / clone).mkdir()
        terraform = HalfTerraform(tmp_path / clone, account, "state")
        real: Any = terraform
        made = Bootstrap(
            real, account.client("s3"), account.client("ecr"),
            bucket="state", account_id=ACCOUNT, repository="other",
        )  # fmt: skip
        return made, terraform

    first, _ = bootstrap("one")
    assert not first.ready()
    with pytest.raises(DeployError, match="broke off"):
        first.ensure()
    second, terraform = bootstrap("two")
    terraform.breaks = False
    second.ensure()
    assert terraform.states == [b"bucket"]
    kept = account.client("s3").get_object(Bucket="state", Key=STATE_KEY)["Body"].read()
    assert kept == b"bucket, registry"
    assert first.ready()
    first.ensure()
    assert terraform.states == [b"bucket"], "nothing has changed"
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments/third.tfvars").touch()
    terraform.lost = ("aws_s3_bucket.state",)
    with pytest.raises(DeployError, match=r"would destroy aws_s3_bucket\.state: apply it by hand"):
        second.ensure()
    terraform.lost = ()
    second.ensure()
    second.ensure()
    assert terraform.states == [b"bucket", *[b"bucket, registry"] * 2], "the files have changed"
    account.client("ecr").delete_repository(repositoryName="other", force=True)
    account.client("s3").delete_object(Bucket="state", Key=STATE_KEY)
    third, _ = bootstrap("three")
    with pytest.raises(DeployError, match=r"import aws_s3_bucket\.state state"):
        third.ensure()


def test_existing_buckets_must_send_their_events_and_keep_others(account: Account) -> None:
    s3, topic = account.client("s3"), f"arn:aws:sns:us-east-1:{ACCOUNT}:theirs"
    theirs = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    for bucket, configuration in {
        "silent": {},
        "notifies": theirs,
        "bridged": {"EventBridgeConfiguration": {}},
    }.items():
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
        )

    def source(bucket: str, topic_arn: str | None = None) -> dict[str, str | None]:
        return {"bucket_name": bucket, "topic_arn": topic_arn, "account_id": None}

    good = {"a": source("notifies", topic), "b": source("bridged")}
    assert list(event_problems(s3, good)) == []
    bad = {"a": source("silent"), "b": source("silent", topic), "c": source("missing")}
    first, second, third = event_problems(s3, bad)
    assert "sources.a: EventBridge is off in silent. Enable it" in first
    assert second == f"sources.b: silent doesn't notify {topic}. Its topics: none"
    assert third == "sources.c: cannot read the notifications of missing: NoSuchBucket"
    kept = s3.get_bucket_notification_configuration(Bucket="notifies")
    assert [one["TopicArn"] for one in kept["TopicConfigurations"]] == [topic]
