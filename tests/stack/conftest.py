"""AWS as emulators play it, in a network of its own: see __main__.py."""

import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from boto3.session import Session
from botocore.config import Config
from fakes.ecs_agent import EcsAgent
from infra.terraform import Terraform
from retinue_rekognition.endpoint import Endpoint
from retinue_rekognition.endpoint.images import s3_source
from sqlalchemy import make_url
from stack.deployment import REGION, TAG, Deployment
from stack.emulator import ACCOUNT, Emulators
from stack.gate import Gate, token_is_good
from stack.layers import Databases, LayerServer, PrefixLists, QueueAttributes, ScalingTags
from stack.place import install_certificates, start_loopback
from stack.services import (
    PORTS,
    TABLE,
    Emulator,
    Layer,
    Stack,
    emulator_of,
    endpoint,
    layer_of,
    variables,
)

SECRET_KEY = "test"
TASK_KEYS = ("AKIATASKROLE00000000", "the task role's secret")
DATABASE_PORT = 5432

if "STACK_INSIDE" not in os.environ:
    collect_ignore = ["test_stack.py"]  # `make test-stack` runs it, in a network of its own


@dataclass(frozen=True)
class Cloud:
    """Everything that stands in for AWS.

    Attributes:
        stack: Who serves what.
        client: Makes a boto3 client of a service.
        deployment: Terraform.
        agent: The ECS agent of every task.
        gate: RDS's front door.
        added: Variables that a task is given besides those of its definition.
        folder: For logs.
    """

    stack: Stack
    client: Callable[[str], Any]
    deployment: Deployment
    agent: EcsAgent
    gate: Gate
    added: dict[str, str]
    folder: Path


@pytest.fixture(scope="session")
def cloud(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Emulators, layers, RDS's front door, and Terraform: nothing is applied yet."""
    stack = Stack(os.environ["STACK_INSIDE"])
    folder = tmp_path_factory.mktemp("stack")
    if stack is not Stack.LICENSED:
        start_loopback()
    with ExitStack() as running:
        running.enter_context(Emulators(stack, folder))
        session = Session(ACCOUNT, SECRET_KEY, region_name=REGION)
        quick = Config(retries={"total_max_attempts": 8, "mode": "standard"})

        def client(service: str, address: str | None = None) -> Any:
            make: Any = session.client
            where = address or endpoint(service, stack)
            return make(service, endpoint_url=where, config=quick)

        for layer in _layers(stack, client):
            running.enter_context(layer)
        os.environ |= {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        os.environ["AWS_DEFAULT_REGION"] = REGION  # for the endpoint's own client of S3
        images = s3_source(endpoint("s3", stack))
        running.enter_context(Endpoint(PORTS[Emulator.OURS], images))
        agent = running.enter_context(EcsAgent(TASK_KEYS))
        authority = trustme.CA()
        install_certificates(
            authority.cert_pem.bytes(), "rds-global-bundle.pem", folder / "certificates"
        )
        gate = running.enter_context(_gate(postgres_server, authority, client))
        addresses = variables(stack)
        terraform = Terraform(
            folder,
            addresses
            | {
                "AWS_ACCESS_KEY_ID": ACCOUNT,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
                # With fewer, a connection that an emulator drops ends the apply.
                "AWS_MAX_ATTEMPTS": "8",
            },
        )
        deployment = Deployment(terraform, ACCOUNT)
        added = addresses | agent.variables
        yield Cloud(stack, client, deployment, agent, gate, added, folder)


def _layers(stack: Stack, client: Callable[..., Any]) -> Iterator[LayerServer]:
    """The layers that a stack needs."""
    for service in TABLE:
        layer, behind = layer_of(service, stack), endpoint(service, stack, behind=True)
        match layer:
            case Layer.DATABASES:
                same = emulator_of("ec2", stack) is emulator_of(service, stack)
                subnets = [] if same else _subnets(client("ec2", behind))
                yield Databases(PORTS[layer], behind, client("secretsmanager"), subnets)
            case Layer.PREFIX_LISTS:
                yield PrefixLists(PORTS[layer], behind)
            case Layer.QUEUE_ATTRIBUTES:
                yield QueueAttributes(PORTS[layer], behind)
            case Layer.SCALING_TAGS:
                yield ScalingTags(PORTS[layer], behind, client("ecs", behind))


def _subnets(networks: Any) -> list[str]:
    """Two subnets in different zones, made by a client of EC2."""
    vpc = networks.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return [
        networks.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]


def _gate(server: str, authority: trustme.CA, client: Callable[..., Any]) -> Gate:
    """RDS's front door before a PostgreSQL with RDS's owner and its role for IAM."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE rds_iam NOLOGIN")
        connection.execute("CREATE ROLE retinue_owner LOGIN CREATEROLE CREATEDB")
        connection.execute("GRANT rds_iam TO retinue_owner WITH ADMIN TRUE, INHERIT FALSE")
        connection.execute("ALTER ROLE retinue_owner SET createrole_self_grant = ''")
        connection.execute("CREATE DATABASE retinue OWNER retinue_owner")

    def authenticate(login: str, password: str) -> bool:
        if _signs_in_by_token(server, login):
            where = f"localhost:{DATABASE_PORT}"
            keys = dict([TASK_KEYS])
            return token_is_good(password, login=login, address=where, region=REGION, keys=keys)
        return login == "retinue_owner" and password == _owners_password(client)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    socket = f"{make_url(server).query['host']}/.s.PGSQL.{make_url(server).port or 5432}"
    return Gate(DATABASE_PORT, socket, context, authenticate)


def _signs_in_by_token(server: str, login: str) -> bool:
    """Whether a login has the role rds_iam, whose members RDS lets in by token alone."""
    asked = (
        "SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole "
        "AND member = (SELECT oid FROM pg_roles WHERE rolname = %s) AND inherit_option)"
    )
    with psycopg.connect(server) as connection:
        row = connection.execute(asked, [login]).fetchone()
    return row is not None and bool(row[0])


def _owners_password(client: Callable[..., Any]) -> str | None:
    """What Secrets Manager has as the password of RDS's owner now."""
    instance = client("rds").describe_db_instances()["DBInstances"][0]
    arn = instance["MasterUserSecret"]["SecretArn"]
    secret = client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    return str(json.loads(secret)["password"])


@pytest.fixture
def history(postgres_server: str) -> Iterator[Callable[[str], list[Any]]]:
    """Asks the history, as PostgreSQL's superuser."""
    url = make_url(postgres_server).set(database="retinue").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield lambda query: connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="session")
def applied(cloud: Cloud) -> Cloud:
    """The environment, applied."""
    with ThreadPoolExecutor(1) as pool:
        with _timed("bootstrap, as far as the environment needs it"):
            bootstrap = pool.submit(cloud.deployment.bootstrap)
            while not (_push_image(cloud) and _has_bucket(cloud)):
                if bootstrap.done():
                    bootstrap.result()
                time.sleep(0.5)
        with _timed("init"):
            cloud.deployment.init()
        with _timed("apply"):
            cloud.deployment.apply()
        bootstrap.result()  # its lifecycle rule takes a minute, most of which has passed
    return cloud


def _push_image(cloud: Cloud) -> bool:
    """Have the tag in the registry, if the registry is there."""
    registry = cloud.client("ecr")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    try:
        registry.put_image(
            repositoryName="retinue", imageTag=TAG, imageManifest=json.dumps(manifest)
        )
    except registry.exceptions.RepositoryNotFoundException:
        return False
    except registry.exceptions.ImageAlreadyExistsException:
        return True
    return True


def _has_bucket(cloud: Cloud) -> bool:
    """Whether the bucket for the state is there, with versions, which come last of what matters."""
    storage = cloud.client("s3")
    names = [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]
    return cloud.deployment.state_bucket in names


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say how long something took (pytest runs with ``-s``)."""
    began = time.monotonic()
    yield
    sys.stdout.write(f"\n{what}: {time.monotonic() - began:.0f} s\n")
