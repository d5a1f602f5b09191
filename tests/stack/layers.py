"""Add features that emulators lack, with a small server before each."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers that say what the body means, and the body."""

MEANING = ("content-type", "x-amzn-query-error")
"""Headers that are passed on; by the second, newer SDKs know an error by its older name."""


class LayerServer:
    """Passes requests on to an emulator; a subclass answers or changes some.

    Args:
        port: Where to listen, on 127.0.0.1.
        behind: Address of the emulator.
    """

    def __init__(self, port: int, behind: str) -> None:
        address = urlsplit(behind)
        self._host, self._port = str(address.hostname), address.port
        layer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the protocols of these services know nothing else
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, meaning, answer = layer.answer(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in meaning.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing: the emulator has a log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer. The default is the emulator's own."""
        return self.ask(path, headers, body)

    def ask(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the emulator's answer."""
        connection = HTTPConnection(self._host, self._port, timeout=60)
        passed = {k: v for k, v in headers.items() if k.lower() not in ("content-length", "host")}
        try:
            connection.request("POST", path, body, passed)
            response = connection.getresponse()
            meaning = {name: response.headers[name] for name in MEANING if name in response.headers}
            return response.status, meaning, response.read()
        finally:
            connection.close()


class Databases(LayerServer):
    """RDS that keeps the owner's password in Secrets Manager, which ministack's does not.

    It also takes subnets of which ministack knows nothing, because another emulator has them.

    Args:
        port: Where to listen.
        behind: Address of the emulator's RDS.
        secrets: A client of Secrets Manager.
        stand_ins: Subnets that ministack knows, to stand in for those it does not; none if it
            knows them all.
    """

    _INSTANCE = re.compile(
        r"(<DBInstanceIdentifier>([^<]+)</DBInstanceIdentifier>.*?)(</DBInstance>)", re.DOTALL
    )

    def __init__(self, port: int, behind: str, secrets: Any, stand_ins: Sequence[str]) -> None:
        super().__init__(port, behind)
        self._client = secrets
        self._unused = list(stand_ins)
        self._subnets: dict[str, str] = {}
        self._secrets: dict[str, tuple[str, str]] = {}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        given = dict(parse_qsl(body.decode(), keep_blank_values=True))
        identifier = given.get("DBInstanceIdentifier", "")
        if given.get("Action") == "CreateDBInstance" and (
            given.pop("ManageMasterUserPassword", "") == "true"
        ):
            key = given.pop("MasterUserSecretKmsKeyId", "")
            given["MasterUserPassword"] = self._keep(identifier, given["MasterUsername"], key)
        for name, value in given.items():
            if name.startswith("SubnetIds."):
                given[name] = self._stand_in(value)
        body = urlencode(given).encode()
        status, meaning, answer = self.ask(path, headers, body)
        if given.get("Action") == "DeleteDBInstance" and status == 200:
            arn, _ = self._secrets.pop(identifier)
            self._client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
        text = self._INSTANCE.sub(self._name_secret, answer.decode())
        for subnet, stand_in in self._subnets.items():
            text = text.replace(stand_in, subnet)
        return status, meaning, text.encode()

    def _stand_in(self, subnet: str) -> str:
        """Return the subnet by which ministack knows this one."""
        if self._unused and subnet not in self._subnets:
            self._subnets[subnet] = self._unused.pop()
        return self._subnets.get(subnet, subnet)

    def _keep(self, identifier: str, user: str, key: str) -> str:
        """Make a password and keep it as RDS does."""
        password = uuid.uuid4().hex
        made = self._client.create_secret(
            Name=f"rds-db-{uuid.uuid4()}",  # AWS writes "rds!db-", which LocalStack takes for bad
            KmsKeyId=key,
            SecretString=json.dumps({"username": user, "password": password}),
        )
        self._secrets[identifier] = (made["ARN"], key)
        return password

    def _name_secret(self, match: re.Match[str]) -> str:
        instance, identifier, end = match.groups()
        if identifier not in self._secrets:
            return match[0]
        arn, key = self._secrets[identifier]
        return (
            f"{instance}<MasterUserSecret><SecretArn>{arn}</SecretArn>"
            f"<SecretStatus>active</SecretStatus><KmsKeyId>{key}</KmsKeyId></MasterUserSecret>{end}"
        )


class PrefixLists(LayerServer):
    """EC2 that remembers the prefix list of a security group's rule, which ministack's forgets.

    It also has endpoints of all services, of which ministack knows a few.
    """

    _RULE = re.compile(r"<securityGroupRuleId>([^<]+)</securityGroupRuleId>")

    def __init__(self, port: int, behind: str) -> None:
        super().__init__(port, behind)
        self._remembered: dict[str, str] = {}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        given = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if given["Action"] == "DescribeVpcEndpointServices":
            return self._describe_service(path, headers, given)
        status, meaning, answer = self.ask(path, headers, body)
        text = answer.decode()
        prefix = "IpPermissions.1.PrefixListIds.1."
        listed = given.get(f"{prefix}PrefixListId")
        if listed and given["Action"].startswith("AuthorizeSecurityGroup"):
            description = escape(given.get(f"{prefix}Description", ""))
            for rule in self._RULE.findall(text):
                self._remembered[rule] = (
                    f"<prefixListId>{listed}</prefixListId><description>{description}</description>"
                )
        return status, meaning, self._RULE.sub(self._remind, text).encode()

    def _describe_service(
        self, path: str, headers: Mapping[str, str], given: Mapping[str, str]
    ) -> Answer:
        """Answer for a service as ministack does for SQS."""
        name = given["ServiceName.1"]
        known = ".".join([*name.split(".")[:3], "sqs"])
        body = urlencode({**given, "ServiceName.1": known}).encode()
        status, meaning, answer = self.ask(path, headers, body)
        return status, meaning, answer.decode().replace(known, name).encode()

    def _remind(self, match: re.Match[str]) -> str:
        return match[0] + self._remembered.get(match[1], "")


class QueueAttributes(LayerServer):
    """SQS that forgets an attribute that is set to nothing, which LocalStack's goes on showing.

    Terraform waits until a redrive allow policy that it removed is gone.
    """

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        status, meaning, answer = self.ask(path, headers, body)
        if status == 200 and b'"Attributes"' in answer:
            given = json.loads(answer)
            if isinstance(given.get("Attributes"), dict):
                shown = {name: value for name, value in given["Attributes"].items() if value}
                answer = json.dumps(given | {"Attributes": shown}).encode()
        return status, meaning, answer


class ScalingTags(LayerServer):
    """Application Auto Scaling whose targets have tags, which moto's do not.

    Args:
        port: Where to listen.
        behind: Address of moto.
        services: A client of moto's own ECS. moto scales only services that it knows, and ours are
            in another emulator.
    """

    def __init__(self, port: int, behind: str, services: Any) -> None:
        super().__init__(port, behind)
        self._services = services
        self._tags: dict[str, dict[str, str]] = {}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        operation = next(
            (v.rsplit(".", 1)[1] for k, v in headers.items() if k.lower() == "x-amz-target"), ""
        )
        given = json.loads(body or b"{}")
        tags = self._tags.setdefault(given.get("ResourceARN", ""), {})
        match operation:
            case "ListTagsForResource":
                result: dict[str, Any] = {"Tags": tags}
            case "TagResource":
                tags.update(given["Tags"])
                result = {}
            case "UntagResource":
                for name in given["TagKeys"]:
                    tags.pop(name, None)
                result = {}
            case "RegisterScalableTarget":
                self._introduce(given["ResourceId"])
                status, meaning, answer = self.ask(path, headers, body)
                if status == 200:
                    arn = json.loads(answer).get("ScalableTargetARN", "")
                    self._tags.setdefault(arn, {}).update(given.get("Tags") or {})
                return status, meaning, answer
            case _:
                return self.ask(path, headers, body)
        return 200, {"content-type": "application/x-amz-json-1.1"}, json.dumps(result).encode()

    def _introduce(self, resource_id: str) -> None:
        """Let moto know the service ``service/CLUSTER/NAME``."""
        _, cluster, name = resource_id.split("/")
        self._services.create_cluster(clusterName=cluster)
        self._services.register_task_definition(
            family=name, containerDefinitions=[{"name": "none", "image": "none", "memory": 1}]
        )
        self._services.create_service(
            cluster=cluster, serviceName=name, taskDefinition=name, desiredCount=0
        )
