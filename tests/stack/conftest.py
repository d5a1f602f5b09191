"""AWS as emulators play it, in a network of its own: see __main__.py."""

import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from boto3.session import Session
from botocore.config import Config
from fakes.ecs_agent import EcsAgent
from infra.terraform import Terraform
from retinue_rekognition_emulator import Endpoint
from retinue_rekognition_emulator.images import s3_source
from retinue_rekognition_emulator.video.notifications import sns_publisher
from retinue_rekognition_emulator.video.objects import s3_videos
from sqlalchemy import make_url
from stack.calls import Calls
from stack.deployment import REGION, Deployment
from stack.ecs import LocalServices, LocalTasks, smoke_test
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
from stack.task import TaskDefinition

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
        calls: The calls of Terraform.
        outputs: Where everything is, once it is deployed.
        services: The running workers, once it is deployed.
        tasks: Runs other tasks, once it is deployed.
    """

    stack: Stack
    client: Callable[[str], Any]
    deployment: Deployment
    agent: EcsAgent
    gate: Gate
    added: dict[str, str]
    folder: Path
    calls: Calls
    outputs: Mapping[str, Any] = field(default_factory=dict)
    services: LocalServices | None = None
    tasks: LocalTasks | None = None


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
        calls = Calls(folder)
        quick = Config(retries={"total_max_attempts": 8, "mode": "standard"})

        def client(service: str, address: str | None = None) -> Any:
            make: Any = session.client
            where = address or endpoint(service, stack)
            return make(service, endpoint_url=where, config=quick)

        for layer in _layers(stack, client):
            running.enter_context(layer)
        os.environ |= {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        os.environ["AWS_DEFAULT_REGION"] = REGION  # for the endpoint's own client of S3
        rekognition = Endpoint(
            PORTS[Emulator.OURS],
            s3_source(endpoint("s3", stack)),
            videos=s3_videos(endpoint("s3", stack)),
            publish=sns_publisher(endpoint("sns", stack)),
        )
        running.enter_context(rekognition)
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
                "TF_DATA_DIR": ".terraform/dev",  # as the deploy program does
                **calls.variables,
                # The state's bucket has no name of its own in DNS here.
                "TF_CLI_ARGS_init": "-backend-config=use_path_style=true",
            },
        )
        # ministack finds no keys in the list of an event's records, and would send nothing.
        filters_keys = emulator_of("sns", stack) is not Emulator.MINISTACK
        deployment = Deployment(terraform, ACCOUNT, client, folder, filters_keys=filters_keys)
        added = addresses | agent.variables
        yield Cloud(stack, client, deployment, agent, gate, added, folder, calls)


def _layers(stack: Stack, client: Callable[..., Any]) -> Iterator[LayerServer]:
    """Yield the layers that a stack needs."""
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
    """Return two subnets in different zones, made by a client of EC2."""
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
    """Return whether a login has the role rds_iam, whose members RDS lets in by token alone."""
    asked = (
        "SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole "
        "AND member = (SELECT oid FROM pg_roles WHERE rolname = %s) AND inherit_option)"
    )
    with psycopg.connect(server) as connection:
        row = connection.execute(asked, [login]).fetchone()
    return row is not None and bool(row[0])


def _owners_password(client: Callable[..., Any]) -> str | None:
    """Return the current password of RDS's owner in Secrets Manager."""
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
def deployed(cloud: Cloud) -> Iterator[Cloud]:
    """Yield the environment, deployed as `make deploy` does it, with the pools' workers running."""

    def definition(arn: str) -> TaskDefinition:
        return TaskDefinition(cloud.client("ecs"), cloud.client("secretsmanager"), arn)

    tasks = LocalTasks(definition, cloud.added, cloud.folder)
    services = LocalServices(definition, cloud.added, cloud.folder)
    smoke = smoke_test(cloud.client, tasks, services.log)
    with closing(services):
        done = cloud.deployment.deploy(tasks, services, smoke)
        yield replace(cloud, outputs=done.outputs, services=services, tasks=tasks)
