"""The IAM actions that a worker is allowed, held against the calls that its code makes."""

import asyncio
import io
import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import boto3
import botocore.session
import pytest
from aws_client.server import Reply, serving
from botocore.awsrequest import AWSResponse
from infra.terraform import resources, source
from retinue_aws import AwsClient
from retinue_cli.data.archive.place import Bucket
from retinue_cli.local import AwsEndpoint
from retinue_cli.replay.served import ServedImages
from retinue_eventbridge.options import PublisherOptions
from retinue_eventbridge.publisher import Publisher
from retinue_history.upkeep.maintenance import DeletedImage
from retinue_sdk import ImageLimits, ImageReference
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.intake.object_reader import ObjectReader
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import SqsQueue
from retinue_workers.work import Message

IMPLIED = {
    "s3:ListBucket": "without it S3 answers 403 for an object that is missing",
    "kms:Decrypt": "S3 and SQS call it for whoever reads what is encrypted",
    "rds-db:connect": "RDS asks for it when a login comes with a token",
    "ecs:UpdateTaskProtection": "ECS's agent calls it for a task that asks to be protected",
}
"""Actions that no call shows, and why they are needed."""

IMPLIED_BY_VIDEOS = {"iam:PassRole": "Rekognition checks it when a job starts that names a role"}
"""The same, of pools with detectors of videos."""

POOLS = ("cascade", "labels", "faces", "objects", "video")

MAINTENANCE = ["s3:ListBucketVersions"]
"""What `retinue maintain` may do in AWS."""

BATCH = re.compile(r"Batch$")
"""SQS has no actions for batches: the single ones allow them."""

TABLE = re.compile(r"^    (rekognition-[a-z-]+)\s*= \[(.*?)\]", re.MULTILINE | re.DOTALL)


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, amount: int = 1024, decode_content: bool | None = None) -> Any:
        while block := self.read(amount):
            yield block


def recorded(service: str, bodies: dict[str, bytes]) -> tuple[Any, set[str]]:
    """Return a client that reaches nobody, and the IAM actions that its calls need."""
    session: Any = boto3.session.Session()
    client = session.client(
        service, "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    actions: set[str] = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        name = BATCH.sub("", model.name)
        if "versionId" in params["query_string"]:
            name = name.replace("GetObject", "GetObjectVersion")
        actions.add(f"{service}:{name}")

    def answer(request: Any, event_name: str, **_: Any) -> AWSResponse:
        body = bodies.get(event_name.rsplit(".", 1)[1], b"{}")
        headers = {"Content-Length": str(len(body)), "ETag": '"e"'}
        return AWSResponse(request.url, 200, headers, _Raw(body))  # type: ignore[arg-type]

    client.meta.events.register(f"before-call.{service}", note)
    client.meta.events.register(f"before-send.{service}", answer)
    return client, actions


async def _use_queue(endpoint_url: str) -> None:
    queue = SqsQueue(
        AwsClient(AwsEndpoint(endpoint_url).client("sqs")),
        f"{endpoint_url}/1/q",
        wait_seconds=0,
        visibility_timeout_seconds=30,
    )
    messages = [Message("id", "handle", "body", 1)]
    await queue.connect()
    await queue.receive(10)
    await queue.delete(messages)
    await queue.change_visibility(messages, 0)
    await queue.close()


@pytest.fixture(scope="session")
def called() -> set[str]:
    """Return all AWS calls of the worker's own code."""
    with serving() as sqs:  # boto3 doesn't make its calls, so they are seen on the wire
        sqs.replies += [Reply(), Reply()]  # to what connects and receives
        sqs.default = Reply(body=b'{"Successful": [{"Id": "0"}]}')
        asyncio.run(_use_queue(sqs.url))
        names = [one.headers["x-amz-target"].rpartition(".")[2] for one in sqs.requests]
    of_sqs = {f"sqs:{BATCH.sub('', name)}" for name in names}

    with serving() as s3:
        s3.default = Reply(body=b"image", headers={"ETag": '"e"'})
        client = AwsEndpoint(s3.url).client("s3")
        with closing(ObjectStore(lambda: ObjectReader(client), ImageLimits())) as store:
            for version_id in (None, "v"):
                reference = ImageReference("bucket", "key", version_id=version_id, etag="e")
                store.fetch(reference)
                store.head(reference)
        # GET and HEAD need the same action.
        of_s3 = {
            f"s3:GetObject{'Version' if '?versionId=' in one.target else ''}" for one in s3.requests
        }
    return of_sqs | of_s3


@pytest.fixture(scope="session")
def on_request() -> set[str]:
    """Return the calls that only routes and plugins need."""
    s3, of_s3 = recorded("s3", {"GetObjectTagging": b"<Tagging><TagSet/></Tagging>"})
    with closing(ObjectStore(lambda: ObjectReader(s3), ImageLimits())) as store:
        for version_id in (None, "v"):
            store.tags(ImageReference("bucket", "key", version_id=version_id, etag="e"))
    events, of_events = recorded("events", {})
    publisher = Publisher(events, PublisherOptions())
    publisher.put({"Source": "s", "DetailType": "t", "Detail": "{}"})
    publisher.close(10)
    return of_s3 | of_events


@pytest.fixture(scope="session")
def allowed(stack: dict[str, Any]) -> Callable[[str], dict[str, list[str]]]:
    """Return the actions that a pool's worker is allowed, with the resources of each."""

    def of(pool: str) -> dict[str, list[str]]:
        policies = [
            json.loads(values["policy"])
            for address, values in resources(stack, "aws_iam_role_policy").items()
            if address == f'module.pool["{pool}"].aws_iam_role_policy.task'
        ]
        found: dict[str, list[str]] = {}
        for statement in policies[0]["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in statement["Action"]:
                found.setdefault(action, []).extend(statement["Resource"])
        return found

    return of


def operations(pool_detectors: set[str]) -> set[str]:
    """Return the operations that a pool's detectors declare."""
    registered = Plugins().registrations
    return {
        f"rekognition:{operation}"
        for name in pool_detectors
        for operation in getattr(registered[name].detector, "operations", ())
    }


@pytest.mark.parametrize(
    ("pool", "detectors"),
    [
        ("labels", {"rekognition-labels", "rekognition-text"}),
        ("faces", {"rekognition-face-search", "rekognition-face-compare"}),
        ("objects", {"onnx-objects"}),
        ("video", {"rekognition-video-labels", "rekognition-video-face-search"}),
    ],
)
def test_a_worker_may_do_what_it_calls_and_nothing_else(
    called: set[str],
    allowed: Callable[[str], dict[str, list[str]]],
    pool: str,
    detectors: set[str],
) -> None:
    implied = {*IMPLIED, *(IMPLIED_BY_VIDEOS if pool == "video" else ())}
    assert set(allowed(pool)) == called | implied | operations(detectors)


def test_tags_and_events_are_allowed_where_they_are_asked_for(
    called: set[str], on_request: set[str], allowed: Callable[[str], dict[str, list[str]]]
) -> None:
    assert on_request == {
        "s3:GetObjectTagging",
        "s3:GetObjectVersionTagging",
        "events:PutEvents",
    }
    detectors = {"onnx-objects", "rekognition-faces"}
    expected = called | on_request | set(IMPLIED) | operations(detectors)
    assert set(allowed("cascade")) == expected
    assert allowed("cascade")["events:PutEvents"] == [
        "arn:aws:events:eu-west-1:123456789012:event-bus/retinue"
    ]


def test_a_worker_may_read_what_its_options_name(
    stack: dict[str, Any], allowed: Callable[[str], dict[str, list[str]]]
) -> None:
    models = {
        f"arn:aws:s3:::retinue-test-models/{one}/model.onnx" for one in ("birds/3", "wings/1")
    }
    references = {"arn:aws:s3:::retinue-test-people/ann.jpg"}
    others = set(allowed("objects")["s3:GetObject"]) - models
    assert len(others) == 1, "the images"
    assert set(allowed("cascade")["s3:GetObject"]) == others
    assert set(allowed("faces")["s3:GetObject"]) == others | references
    assert set(allowed("faces")["s3:GetObjectVersion"]) == others | references
    key = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000003"
    assert key in allowed("objects")["kms:Decrypt"]
    endpoints = resources(stack, "aws_vpc_endpoint").values()
    [storage] = [values for values in endpoints if values["vpc_endpoint_type"] == "Gateway"]
    *_, objects = json.loads(storage["policy"])["Statement"]
    assert objects["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
    assert set(objects["Resource"]) == models | references


def test_maintenance_may_ask_which_versions_there_are_and_nothing_else(
    stack: dict[str, Any],
) -> None:
    s3, called = recorded("s3", {"ListObjectVersions": b"<ListVersionsResult/>"})
    ServedImages(lambda: s3).find([DeletedImage(UUID(int=0), "bucket", "key", "v", True)])
    assert called == {"s3:ListObjectVersions"}  # S3's action for it has another name
    policy = resources(stack, "aws_iam_role_policy")["module.maintenance.aws_iam_role_policy.task"]
    [statement] = json.loads(policy["policy"])["Statement"]
    assert statement["Action"] == MAINTENANCE
    [bucket] = statement["Resource"]
    assert re.fullmatch(r"arn:aws:s3:::[a-z0-9-]+", bucket)


def test_what_a_task_may_do_the_network_lets_through(
    stack: dict[str, Any], allowed: Callable[[str], dict[str, list[str]]]
) -> None:
    actions = {action for pool in POOLS for action in allowed(pool)} | {*MAINTENANCE}
    operator = resources(stack, "aws_iam_role_policy")["module.operator.aws_iam_role_policy.task"]
    for statement in json.loads(operator["policy"])["Statement"]:
        actions |= {*statement["Action"]}
    endpoints = resources(stack, "aws_vpc_endpoint").values()
    [storage] = [values for values in endpoints if values["vpc_endpoint_type"] == "Gateway"]
    images, *_ = json.loads(storage["policy"])["Statement"]
    assert {action for action in actions if action.startswith("s3:")} == set(images["Action"])

    reached = {
        values["service_name"].split(".", 3)[-1]
        for values in endpoints
        if values["vpc_endpoint_type"] == "Interface"
    }
    implied = {*IMPLIED, *IMPLIED_BY_VIDEOS, "kms:GenerateDataKey"}
    services = {action.split(":")[0] for action in actions if action not in implied}
    assert services - {"s3"} <= reached


def test_tasks_of_the_archive_may_do_what_they_call(stack: dict[str, Any]) -> None:
    listing = (
        b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    versions = b"<r><Version><Key>a</Key><VersionId>v</VersionId></Version></r>"
    client, read = recorded("s3", {"GetObject": b"x", "ListObjectsV2": listing})
    place = Bucket(client, "archive", "")
    place.read("manifest.json")
    place.read_range("a", 0, 1)
    list(place.list("data/"))
    client, written = recorded(
        "s3", dict.fromkeys(["PutObject", "DeleteObject", "ListObjectVersions"], versions)
    )
    place = Bucket(client, "archive", "")
    place.replace("manifest.json", b"", None)
    place.delete("a")
    names = {"s3:ListObjectsV2": "s3:ListBucket", "s3:ListObjectVersions": "s3:ListBucketVersions"}
    calls = {names.get(call, call) for call in read}
    implied = {"kms:Decrypt", "kms:GenerateDataKey"}
    found = {
        address.split(".")[1].removesuffix("[0]"): {
            action
            for statement in json.loads(values["policy"])["Statement"]
            for action in statement["Action"]
        }
        for address, values in resources(stack, "aws_iam_role_policy").items()
        if address.endswith("aws_iam_role_policy.archive[0]")
    }
    assert found.pop("operator") == calls | {"kms:Decrypt"}
    all_calls = (
        calls
        | {names.get(call, call) for call in written}
        | {
            "s3:AbortMultipartUpload",  # of an upload that fails
            "s3:DeleteObjectVersion",  # a DeleteObject with a version
        }
    )
    assert found == dict.fromkeys(["maintenance", "migrations"], all_calls | implied)

    endpoints = resources(stack, "aws_vpc_endpoint").values()
    [storage] = [values for values in endpoints if values["vpc_endpoint_type"] == "Gateway"]
    [statement] = [
        statement
        for statement in json.loads(storage["policy"])["Statement"]
        if statement["Sid"] == "ArchiveForThisAccount"
    ]
    assert set(statement["Action"]) == all_calls


def test_only_operations_on_an_image_or_video_are_allowed_everywhere(
    allowed: Callable[[str], dict[str, list[str]]],
) -> None:
    everywhere = {
        action for pool in POOLS for action, places in allowed(pool).items() if "*" in places
    }
    assert everywhere == {
        "rekognition:CompareFaces",
        "rekognition:DetectLabels",
        "rekognition:DetectText",
        "rekognition:DetectFaces",
        "rekognition:GetFaceSearch",
        "rekognition:GetLabelDetection",
        "rekognition:StartLabelDetection",
    }


def test_a_worker_may_sign_in_as_one_login_and_protect_tasks_of_its_cluster(
    allowed: Callable[[str], dict[str, list[str]]],
) -> None:
    for pool in ("labels", "faces", "objects"):
        [login] = allowed(pool)["rds-db:connect"]
        assert login.endswith("/retinue_worker")
        [tasks] = allowed(pool)["ecs:UpdateTaskProtection"]
        assert re.fullmatch(r"arn:aws:ecs:[a-z0-9-]+:\d{12}:task/[\w-]+/\*", tasks)


def test_each_task_signs_in_as_its_own_login(stack: dict[str, Any]) -> None:
    logins = {}
    for address, values in resources(stack, "aws_iam_role_policy").items():
        for statement in json.loads(values["policy"])["Statement"]:
            if "rds-db:connect" in statement["Action"]:
                [login] = statement["Resource"]
                logins[address.removesuffix(".aws_iam_role_policy.task")] = login.split("/")[-1]
    assert logins == {
        **{f'module.pool["{pool}"]': "retinue_worker" for pool in POOLS},
        "module.model_reaper[0]": "retinue_worker",
        "module.migrations": "retinue_analyst",
        "module.operator": "retinue_analyst",
    }


def test_whoever_reads_a_password_is_an_owner(stack: dict[str, Any]) -> None:
    readers = {
        address.split(".module.task")[0]
        for address, values in resources(stack, "aws_iam_role_policy").items()
        for statement in json.loads(values["policy"])["Statement"]
        if "secretsmanager:GetSecretValue" in statement["Action"]
    }
    assert readers == {"module.migrations", "module.maintenance"}


def test_no_role_may_do_every_action(stack: dict[str, Any]) -> None:
    for address, values in resources(stack, "aws_iam_role_policy").items():
        for statement in json.loads(values["policy"])["Statement"]:
            assert not [action for action in statement["Action"] if "*" in action], address


def test_the_table_of_operations_is_the_plugins_own() -> None:
    table: dict[str, set[str]] = {}
    for name, listed in TABLE.findall(source("modules/pool/permissions.tf")):
        table.setdefault(name, set()).update(re.findall(r'"(\w+)"', listed))
    declared = {
        name: set(getattr(registration.detector, "operations", ()))
        for name, registration in Plugins().registrations.items()
        if name.startswith("rekognition-")
    }
    assert table == declared


def test_every_operation_in_the_table_exists() -> None:
    model = botocore.session.get_session().get_service_model("rekognition")
    listed = {
        operation
        for _, text in TABLE.findall(source("modules/pool/permissions.tf"))
        for operation in re.findall(r'"(\w+)"', text)
    }
    assert listed
    assert listed <= set(model.operation_names)
