"""The emulator of each AWS service."""

import os
from collections.abc import Mapping
from enum import StrEnum

from botocore.session import Session
from localstack_client import config  # type: ignore[import-untyped]


class Emulator(StrEnum):
    """An emulator, and its port in the test's own network."""

    LOCALSTACK = "localstack"
    MINISTACK = "ministack"
    MOTO = "moto"
    OURS = "ours"
    """The endpoint of tests/rekognition: no emulator answers for Rekognition's image operations."""


class Layer(StrEnum):
    """A layer before an emulator, for the few answers that it lacks (layers.py)."""

    DATABASES = "the owner's password in Secrets Manager"
    PREFIX_LISTS = "prefix lists in security group rules, and services with endpoints"
    QUEUE_ATTRIBUTES = "attributes of queues that end"
    SCALING_TAGS = "tags of scaling targets"
    NONE = ""


PORTS = {
    Emulator.LOCALSTACK: 4566,
    Emulator.MINISTACK: 4567,
    Emulator.MOTO: 4568,
    Emulator.OURS: 4569,
    Layer.DATABASES: 4570,
    Layer.SCALING_TAGS: 4571,
    Layer.PREFIX_LISTS: 4572,
    Layer.QUEUE_ATTRIBUTES: 4573,
}

NOBODY = "http://127.0.0.1:9"
"""Where nothing listens."""

LACKING = {
    Layer.DATABASES: Emulator.MINISTACK,
    Layer.PREFIX_LISTS: Emulator.MINISTACK,
    Layer.QUEUE_ATTRIBUTES: Emulator.LOCALSTACK,
    Layer.SCALING_TAGS: Emulator.MOTO,
}
"""Which emulator each layer makes up for; others need none."""

LOCALSTACK, MINISTACK = Emulator.LOCALSTACK, Emulator.MINISTACK

# service, as boto3 calls it: LocalStack's community edition, light, and what we add for the others.
TABLE: dict[str, tuple[Emulator, Emulator, Layer]] = {
    "cloudwatch": (LOCALSTACK, MINISTACK, Layer.NONE),
    "ec2": (LOCALSTACK, MINISTACK, Layer.PREFIX_LISTS),
    "events": (LOCALSTACK, MINISTACK, Layer.NONE),
    "iam": (LOCALSTACK, MINISTACK, Layer.NONE),
    "kms": (LOCALSTACK, MINISTACK, Layer.NONE),
    "logs": (LOCALSTACK, MINISTACK, Layer.NONE),
    "s3": (LOCALSTACK, MINISTACK, Layer.NONE),
    "scheduler": (LOCALSTACK, MINISTACK, Layer.NONE),
    "secretsmanager": (LOCALSTACK, MINISTACK, Layer.NONE),
    "sns": (LOCALSTACK, MINISTACK, Layer.NONE),
    "sqs": (LOCALSTACK, MINISTACK, Layer.QUEUE_ATTRIBUTES),
    "sts": (LOCALSTACK, MINISTACK, Layer.NONE),
    "ecr": (MINISTACK, MINISTACK, Layer.NONE),
    "ecs": (MINISTACK, MINISTACK, Layer.NONE),
    "rds": (MINISTACK, MINISTACK, Layer.DATABASES),
    "application-autoscaling": (Emulator.MOTO, Emulator.MOTO, Layer.SCALING_TAGS),
    "rekognition": (Emulator.OURS, Emulator.OURS, Layer.NONE),
}


class Stack(StrEnum):
    """The emulators of a stack."""

    LOCALSTACK = "localstack"
    """LocalStack's community edition, and others for what it does not answer."""
    LICENSED = "licensed"
    """Everything by a LocalStack that runs already, with LOCALSTACK_AUTH_TOKEN."""
    LIGHT = "light"
    """ministack, and others for what it does not answer."""


def chosen(environment: Mapping[str, str]) -> Stack:
    """Return the stack that ``STACK`` and ``LOCALSTACK_AUTH_TOKEN`` ask for.

    Raises:
        ValueError: ``STACK`` names none.
    """
    named = environment.get("STACK") or "localstack"
    if named not in ("localstack", "light"):
        raise ValueError(f"STACK={named} is none: leave it out, or write STACK=light")
    if named == "localstack" and environment.get("LOCALSTACK_AUTH_TOKEN"):
        return Stack.LICENSED
    return Stack(named)


def emulator_of(service: str, stack: Stack) -> Emulator:
    """Return the emulator of a service."""
    community, light, _ = TABLE[service]
    if stack is Stack.LICENSED and community is not Emulator.OURS:
        return Emulator.LOCALSTACK
    return light if stack is Stack.LIGHT else community


def layer_of(service: str, stack: Stack) -> Layer:
    """Return the layer before a service's emulator."""
    layer = TABLE[service][2]
    if stack is Stack.LICENSED:
        return Layer.NONE
    return layer if LACKING.get(layer) is emulator_of(service, stack) else Layer.NONE


def emulators(stack: Stack) -> set[Emulator]:
    """Return the emulators that a stack needs."""
    return {emulator_of(service, stack) for service in TABLE}


def endpoint(service: str, stack: Stack, *, behind: bool = False) -> str:
    """Address of a service, as localstack-client makes it.

    Args:
        service: As boto3 calls it.
        stack: How the stack is served.
        behind: Whether to look behind the layer that we put before the emulator.
    """
    emulator, layer = emulator_of(service, stack), layer_of(service, stack)
    port = PORTS[emulator] if behind or layer is Layer.NONE else PORTS[layer]
    host = f"127.0.0.1:{port}"
    if stack is Stack.LICENSED and emulator is Emulator.LOCALSTACK:
        host = os.environ.get("LOCALSTACK_HOST", host)
    if emulator is Emulator.OURS:
        return f"http://{host}"  # localstack-client does not know Rekognition
    return str(config.get_service_endpoint(service, localstack_host=host))


def variables(stack: Stack) -> dict[str, str]:
    """``AWS_ENDPOINT_URL_…`` for each service: Terraform, boto3 and the AWS CLI all read them.

    A service that the table lacks is refused at once, not looked for on the internet.
    """
    session = Session()
    named = {"AWS_ENDPOINT_URL": NOBODY}
    for service in TABLE:
        identity = session.get_service_model(service).service_id
        name = str(identity).replace(" ", "_").replace("-", "_").upper()
        named[f"AWS_ENDPOINT_URL_{name}"] = endpoint(service, stack)
    return named
