"""Each setting of botocore's has the same outcome through boto3 and through the client.

A case sets variables or a profile. Then both receive messages (or read an object), and what came
back and what the servers saw must be equal.
"""

import json
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from aws_client.conftest import RECEIVE, idle_connections, using
from aws_client.server import Reply, Request, Server, serving
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS
from botocore.exceptions import ClientError, CredentialRetrievalError
from retinue_aws import AwsClient


@dataclass
class World:
    """The servers, the files, and what a case sets."""

    folder: Path
    service: Server
    secure: Server
    mutual: Server
    proxy: Server
    tunnel: Server
    secure_proxy: Server
    mutual_proxy: Server
    env: pytest.MonkeyPatch
    profile: list[str] = field(default_factory=list)

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def write_profile(self) -> None:
        Path(os.environ["AWS_CONFIG_FILE"]).write_text("\n".join(self.profile))

    def servers(self) -> dict[str, Server]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Server)}


@pytest.fixture(scope="module")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Server]]]:
    folder = tmp_path_factory.mktemp("contract")
    ours, other = trustme.CA(), trustme.CA()
    for name, authority in (("ca.pem", ours), ("other.pem", other)):
        authority.cert_pem.write_to_path(str(folder / name))
    (folder / "broken.pem").write_text("no certificate")
    (folder / "empty.pem").write_text("")
    client = ours.issue_cert("client@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.crt"))

    def context(authority: trustme.CA, *, mutual: bool = False) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(made)
        if mutual:
            authority.configure_trust(made)
            made.verify_mode = ssl.CERT_REQUIRED
            made.maximum_version = ssl.TLSVersion.TLSv1_2  # a refusal comes in the handshake
        return made

    with (
        serving() as service,
        serving(context(ours)) as secure,
        serving(context(ours, mutual=True)) as mutual,
        serving() as proxy,
        serving(tunnels_to=secure.url.removeprefix("https://")) as tunnel,
        serving(context(other), tunnels_to=secure.url.removeprefix("https://")) as secure_proxy,
        serving(
            context(ours, mutual=True), tunnels_to=secure.url.removeprefix("https://")
        ) as mutual_proxy,
    ):
        yield (
            folder,
            {
                "service": service,
                "secure": secure,
                "mutual": mutual,
                "proxy": proxy,
                "tunnel": tunnel,
                "secure_proxy": secure_proxy,
                "mutual_proxy": mutual_proxy,
            },
        )


@pytest.fixture
def world(
    _servers: tuple[Path, dict[str, Server]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> World:
    folder, servers = _servers
    for server in servers.values():
        server.requests.clear()
        server.replies.clear()
        server.default = Reply()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return World(folder, **servers, env=monkeypatch)


def summary(request: Request) -> tuple[Any, ...]:
    """Return what must be equal."""
    told = request.headers.get
    shared = (request.method, request.target, told("proxy-authorization"))
    if request.method == "CONNECT":
        return shared
    whose = told("authorization", "").partition("Credential=")[2].partition(",")[0]
    names = (
        "host",
        "user-agent",
        "x-amz-security-token",
        "x-amz-target",
        "x-amz-content-sha256",
        "x-amz-checksum-mode",
        "content-encoding",
        "connection",
    )
    return (*shared, whose, *map(told, names))


def outcome(world: World, ask: Callable[[], Any]) -> Any:
    """Return what came back, and what each server saw."""
    for server in world.servers().values():
        server.requests.clear()
    came: Any
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - compared below
        came = type(error).__name__
    else:
        came = "an answer"
    return came, {
        name: [summary(request) for request in server.requests]
        for name, server in world.servers().items()
        if server.requests
    }


def hold(
    world: World,
    expected: str | None,
    *,
    service: str = "sqs",
    profile: str | None = None,
    seen: str | None = None,
    count: int | None = None,
    **options: Any,
) -> Any:
    """Compare the outcomes of boto3 and the client, each with a session of its own.

    Args:
        world: The servers and files.
        expected: The error, or "an answer"; ``None`` if the comparison is enough.
        service: The service.
        profile: The profile that is named when the session is made.
        seen: Text in the first request that a server saw.
        count: The number of requests.
        **options: For the client.
    """
    if world.profile:
        world.write_profile()

    def client() -> Any:
        return boto3.Session(profile_name=profile).client(service, **options)

    def ask_boto3() -> Any:
        made = client()
        if service == "s3":
            return made.get_object(Bucket="bucket", Key="key")["Body"].read()
        return made.receive_message(**RECEIVE)

    def ask_ours() -> Any:
        async def ask(calls: AwsClient) -> Any:
            if service == "s3":
                return await calls.get_object("bucket", "key", max_bytes=1_000)
            return await calls.call("ReceiveMessage", RECEIVE)

        return using(client(), ask)

    theirs, ours = outcome(world, ask_boto3), outcome(world, ask_ours)
    if ours != theirs:
        # A thread that another test abandoned asks AWS through this process's proxy, too. A
        # difference between the two clients is there each time.
        theirs, ours = outcome(world, ask_boto3), outcome(world, ask_ours)
    assert ours == theirs
    assert expected in {None, theirs[0]}, theirs
    if seen is not None:
        assert seen in str(theirs[1])
    if count is not None:
        assert sum(map(len, theirs[1].values())) == count
    return theirs


OK = "an answer"
KEYS = ["aws_access_key_id = AKIDPROFILE", "aws_secret_access_key = secret"]

TLS: dict[str, tuple[str, str | None, str, str]] = {
    # name: (where it is set, variable or key, file, outcome)
    "a stranger": ("", None, "", "SSLError"),
    "AWS_CA_BUNDLE": ("env", "AWS_CA_BUNDLE", "ca.pem", OK),
    "AWS_CA_BUNDLE of another authority": ("env", "AWS_CA_BUNDLE", "other.pem", "SSLError"),
    "AWS_CA_BUNDLE that is missing": ("env", "AWS_CA_BUNDLE", "missing.pem", "SSLError"),
    "AWS_CA_BUNDLE that is no certificate": ("env", "AWS_CA_BUNDLE", "broken.pem", "SSLError"),
    "REQUESTS_CA_BUNDLE": ("env", "REQUESTS_CA_BUNDLE", "ca.pem", OK),
    "REQUESTS_CA_BUNDLE of another": ("env", "REQUESTS_CA_BUNDLE", "other.pem", "SSLError"),
    "SSL_CERT_FILE": ("env", "SSL_CERT_FILE", "ca.pem", "SSLError"),
    "CURL_CA_BUNDLE": ("env", "CURL_CA_BUNDLE", "ca.pem", "SSLError"),
    "a profile's ca_bundle": ("profile", "ca_bundle", "ca.pem", OK),
    "verify": ("client", "verify", "ca.pem", OK),
    "verify of another": ("client", "verify", "other.pem", "SSLError"),
}


@pytest.mark.parametrize(("where", "key", "file", "expected"), TLS.values(), ids=TLS.keys())
def test_authorities(world: World, where: str, key: str | None, file: str, expected: str) -> None:
    options: dict[str, Any] = {}
    if where == "env":
        world.env.setenv(str(key), world.file(file))
    elif where == "profile":
        world.profile += ["[profile mine]", f"{key} = {world.file(file)}", *KEYS]
        options["profile"] = "mine"
    elif where == "client":
        options[str(key)] = world.file(file)
    hold(world, expected, endpoint_url=world.secure.url, **options)


def test_a_bundle_of_awss_has_precedence(world: World) -> None:
    world.env.setenv("AWS_CA_BUNDLE", world.file("ca.pem"))
    world.env.setenv("REQUESTS_CA_BUNDLE", world.file("other.pem"))
    hold(world, OK, endpoint_url=world.secure.url)


def test_verification_can_be_switched_off(world: World) -> None:
    world.env.setenv("AWS_CA_BUNDLE", world.file("other.pem"))
    with pytest.warns(match="Unverified HTTPS request"):  # by urllib3
        hold(world, OK, endpoint_url=world.secure.url, verify=False)


def test_the_name_in_a_certificate_counts(world: World) -> None:
    url = world.secure.url.replace("localhost", "127.0.0.1")
    hold(world, "SSLError", endpoint_url=url, verify=world.file("ca.pem"))


@pytest.mark.parametrize("form", ["file", "pair", "missing", "none"])
def test_client_certificates(world: World, form: str) -> None:
    certificate: Any = {
        "file": world.file("client.pem"),
        "pair": (world.file("client.crt"), world.file("client.key")),
        "missing": world.file("missing.pem"),
        "none": None,
    }[form]
    hold(
        world,
        {"missing": "ConnectionClosedError", "none": "SSLError"}.get(form, OK),
        endpoint_url=world.mutual.url,
        verify=world.file("ca.pem"),
        config=Config(client_cert=certificate),
    )


PROXIES: dict[str, tuple[dict[str, str], str, str, str]] = {
    # name: (variables, endpoint, outcome, who is asked)
    "http": ({"HTTP_PROXY": "{proxy}"}, "http://sqs.example", OK, "proxy"),
    "in lower case": ({"http_proxy": "{proxy}"}, "http://sqs.example", OK, "proxy"),
    "without a scheme": ({"HTTP_PROXY": "localhost:{port}"}, "http://sqs.example", OK, "proxy"),
    "for http alone": ({"HTTPS_PROXY": "{proxy}"}, "{service}", OK, "service"),
    "for all": ({"ALL_PROXY": "{proxy}"}, "{service}", OK, "service"),
    "https": ({"HTTPS_PROXY": "{tunnel}"}, "https://localhost:1", OK, "tunnel"),
    "https that is refused": (
        {"HTTPS_PROXY": "{proxy}"},
        "https://sqs.example",
        "ProxyConnectionError",
        "proxy",
    ),
    "with a password": (
        {"HTTP_PROXY": "http://ann:h%40sh@localhost:{port}"},
        "http://sqs.example",
        OK,
        "Basic YW5uOmhAc2g=",
    ),
    "https with a password": (
        {"HTTPS_PROXY": "http://ann:h%40sh@localhost:{tunnel_port}"},
        "https://localhost:1",
        OK,
        "Basic YW5uOmhAc2g=",
    ),
    "NO_PROXY": ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "localhost"}, "{service}", OK, "service"),
    "NO_PROXY with a port": (
        {"HTTP_PROXY": "{proxy}", "NO_PROXY": "localhost:{service_port}"},
        "{service}",
        OK,
        "service",
    ),
    "NO_PROXY by a suffix": (
        {"HTTP_PROXY": "{proxy}", "NO_PROXY": ".example"},
        "http://sqs.example",
        "EndpointConnectionError",
        "",
    ),
    "NO_PROXY of others": (
        {"HTTP_PROXY": "{proxy}", "NO_PROXY": "elsewhere.example, other"},
        "http://sqs.example",
        OK,
        "proxy",
    ),
    "no_proxy for all": ({"HTTP_PROXY": "{proxy}", "no_proxy": "*"}, "{service}", OK, "service"),
    "away": (
        {"HTTP_PROXY": "http://ann:hush@localhost:9"},
        "http://sqs.example",
        "ProxyConnectionError",
        "",
    ),
    "https and away": (
        {"HTTPS_PROXY": "http://localhost:9"},
        "https://sqs.example",
        "ProxyConnectionError",
        "",
    ),
    "unknown": (
        {"HTTP_PROXY": "http://proxy.invalid:1"},
        "http://sqs.example",
        "ProxyConnectionError",
        "",
    ),
}


@pytest.mark.parametrize(
    ("variables", "endpoint", "expected", "seen"), PROXIES.values(), ids=PROXIES.keys()
)
def test_proxies(
    world: World, variables: dict[str, str], endpoint: str, expected: str, seen: str
) -> None:
    names = {
        "proxy": world.proxy.url,
        "port": world.proxy.url.rpartition(":")[2],
        "tunnel": world.tunnel.url,
        "tunnel_port": world.tunnel.url.rpartition(":")[2],
        "service": world.service.url,
        "service_port": world.service.url.rpartition(":")[2],
    }
    for name, value in variables.items():
        world.env.setenv(name, value.format(**names))
    hold(
        world,
        expected,
        seen=seen,
        endpoint_url=endpoint.format(**names),
        verify=world.file("ca.pem"),
    )


def test_proxies_of_the_configuration(world: World) -> None:
    world.env.setenv("HTTP_PROXY", "http://localhost:9")
    config = Config(proxies={"http": world.proxy.url})
    hold(world, OK, seen="'proxy'", endpoint_url="http://sqs.example", config=config)


def test_the_service_behind_a_proxy_is_verified(world: World) -> None:
    world.env.setenv("HTTPS_PROXY", world.tunnel.url)
    hold(world, "SSLError", endpoint_url="https://localhost:1", verify=world.file("other.pem"))


@pytest.mark.parametrize(
    ("proxy", "settings", "expected"),
    [
        ("secure_proxy", {}, "ProxyConnectionError"),
        ("secure_proxy", {"proxy_ca_bundle": "ca.pem"}, "ProxyConnectionError"),
        ("secure_proxy", {"proxy_ca_bundle": "other.pem"}, OK),
        ("mutual_proxy", {"proxy_ca_bundle": "ca.pem"}, "ProxyConnectionError"),
        ("mutual_proxy", {"proxy_client_cert": "client.pem", "proxy_ca_bundle": "ca.pem"}, OK),
        ("secure_proxy", {"proxy_ca_bundle": "missing.pem"}, "HTTPClientError"),
    ],
)
def test_proxies_that_speak_tls(
    world: World, proxy: str, settings: dict[str, str], expected: str
) -> None:
    config = Config(
        proxies={"https": world.servers()[proxy].url},
        proxies_config={name: world.file(file) for name, file in settings.items()},
    )
    hold(
        world,
        expected,
        endpoint_url="https://localhost:1",
        verify=world.file("ca.pem"),
        config=config,
    )


ENDPOINTS: dict[str, tuple[dict[str, str], list[str], str]] = {
    # name: (variables, profile, what the proxy or the service sees); all in eu-west-1 at first
    "a region": ({}, [], "sqs.eu-west-1.amazonaws.com:443"),
    "AWS_REGION": ({"AWS_REGION": "ap-south-1"}, [], "sqs.eu-west-1"),
    "AWS_DEFAULT_REGION": ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, [], "sqs.us-gov-west-1"),
    "China": ({"AWS_DEFAULT_REGION": "cn-north-1"}, [], "amazonaws.com.cn"),
    "FIPS": (
        {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_DEFAULT_REGION": "us-east-1"},
        [],
        "sqs-fips.us-east-1",
    ),
    "dual stack": ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, [], "sqs.eu-west-1.api.aws"),
    "AWS_ENDPOINT_URL": ({"AWS_ENDPOINT_URL": "{service}"}, [], "'service'"),
    "AWS_ENDPOINT_URL_SQS": (
        {"AWS_ENDPOINT_URL_SQS": "{service}", "AWS_ENDPOINT_URL": "http://localhost:9"},
        [],
        "'service'",
    ),
    "ignored endpoints": (
        {"AWS_ENDPOINT_URL": "{service}", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        [],
        "sqs.eu-west-1.amazonaws.com:443",
    ),
    "a path": ({"AWS_ENDPOINT_URL": "{service}/aws/here"}, [], "/aws/here"),
    "a profile's region": ({"AWS_DEFAULT_REGION": ""}, ["region = sa-east-1"], "sqs.sa-east-1"),
    "a profile's endpoint": ({}, ["endpoint_url = {service}"], "'service'"),
    "a profile's services": (
        {},
        ["services = mine", "[services mine]", "sqs =", "  endpoint_url = {service}"],
        "'service'",
    ),
    "a profile's FIPS": (
        {"AWS_DEFAULT_REGION": "us-east-1"},
        ["use_fips_endpoint = true"],
        "sqs-fips.us-east-1",
    ),
    "a profile's dual stack": ({}, ["use_dualstack_endpoint = true"], "sqs.eu-west-1.api.aws"),
    "an application id": (
        {"AWS_SDK_UA_APP_ID": "retinue-test", "AWS_ENDPOINT_URL": "{service}"},
        [],
        "app/retinue-test",
    ),
    "a profile's application id": (
        {"AWS_ENDPOINT_URL": "{service}"},
        ["sdk_ua_app_id = retinue-test"],
        "app/retinue-test",
    ),
}


@pytest.mark.parametrize(("variables", "profile", "seen"), ENDPOINTS.values(), ids=ENDPOINTS.keys())
def test_endpoints(world: World, variables: dict[str, str], profile: list[str], seen: str) -> None:
    # The proxy refuses every tunnel, and so tells where it should have led.
    world.env.setenv("HTTPS_PROXY", world.proxy.url)
    for name, value in variables.items():
        if value:
            world.env.setenv(name, value.format(service=world.service.url))
        else:
            world.env.delenv(name)
    if profile:
        world.env.setenv("AWS_PROFILE", "mine")
        world.profile += ["[profile mine]", *profile]
        world.profile[:] = [line.format(service=world.service.url) for line in world.profile]
    expected = "ProxyConnectionError" if "amazonaws" in seen or "sqs" in seen else OK
    hold(world, expected, seen=seen)


S3_ENDPOINTS: dict[str, tuple[dict[str, str], list[str], str]] = {
    "virtual": ({}, [], "bucket.s3.eu-west-1.amazonaws.com:443"),
    "us-east-1": ({"AWS_DEFAULT_REGION": "us-east-1"}, [], "bucket.s3.amazonaws.com:443"),
    "us-east-1 regional": (
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional"},
        [],
        "bucket.s3.us-east-1.amazonaws.com:443",
    ),
    "FIPS": (
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"},
        [],
        "bucket.s3-fips.us-east-1.amazonaws.com:443",
    ),
    "dual stack": (
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        [],
        "bucket.s3.dualstack.eu-west-1.amazonaws.com:443",
    ),
    "a profile's addressing": (
        {},
        ["s3 =", "  addressing_style = path"],
        "s3.eu-west-1.amazonaws.com:443",
    ),
    "a profile's acceleration": (
        {},
        ["s3 =", "  use_accelerate_endpoint = true"],
        "bucket.s3-accelerate.amazonaws.com:443",
    ),
    "AWS_ENDPOINT_URL_S3": ({"AWS_ENDPOINT_URL_S3": "{service}"}, [], "/bucket/key"),
}


@pytest.mark.parametrize(
    ("variables", "profile", "seen"), S3_ENDPOINTS.values(), ids=S3_ENDPOINTS.keys()
)
def test_endpoints_of_s3(
    world: World, variables: dict[str, str], profile: list[str], seen: str
) -> None:
    world.service.default = Reply(headers={"ETag": '"e"'})
    world.env.setenv("HTTPS_PROXY", world.proxy.url)
    for name, value in variables.items():
        world.env.setenv(name, value.format(service=world.service.url))
    if profile:
        world.env.setenv("AWS_PROFILE", "mine")
        world.profile += ["[profile mine]", *profile]
    expected = "ProxyConnectionError" if "amazonaws" in seen else OK
    hold(world, expected, service="s3", seen=seen)


def _no_keys(world: World) -> None:
    world.env.delenv("AWS_ACCESS_KEY_ID")
    world.env.delenv("AWS_SECRET_ACCESS_KEY")


def test_keys_of_the_environment(world: World) -> None:
    hold(world, OK, endpoint_url=world.service.url, seen="AKIDENV")


def test_a_token_of_the_environment(world: World) -> None:
    world.env.setenv("AWS_SESSION_TOKEN", "token of the environment")
    hold(world, OK, endpoint_url=world.service.url, seen="token of the environment")


def test_no_keys_at_all(world: World) -> None:
    _no_keys(world)
    hold(world, "NoCredentialsError", endpoint_url=world.service.url, count=0)


def test_no_region_at_all(world: World) -> None:
    world.env.delenv("AWS_DEFAULT_REGION")
    hold(world, "NoRegionError", count=0)


def test_half_of_the_keys(world: World) -> None:
    world.env.delenv("AWS_SECRET_ACCESS_KEY")
    hold(world, "PartialCredentialsError", endpoint_url=world.service.url, count=0)


def test_keys_of_a_profile(world: World) -> None:
    _no_keys(world)
    world.profile += ["[profile mine]", *KEYS]
    hold(world, OK, endpoint_url=world.service.url, profile="mine", seen="AKIDPROFILE")


def test_a_profile_that_is_missing(world: World) -> None:
    world.env.setenv("AWS_PROFILE", "missing")
    hold(world, "ProfileNotFound", endpoint_url=world.service.url, count=0)


ISSUED = {
    "AccessKeyId": "AKIDISSUED",
    "SecretAccessKey": "secret",
    "Expiration": "2999-01-01T00:00:00Z",
}


def test_a_process_that_issues_keys(world: World) -> None:
    _no_keys(world)
    issued = json.dumps({"Version": 1, "SessionToken": "t", **ISSUED})
    script = world.folder / "issue.py"
    script.write_text(f"print({issued!r})")
    world.profile += ["[profile mine]", f"credential_process = {sys.executable} {script}"]
    world.env.setenv("AWS_PROFILE", "mine")
    hold(world, OK, endpoint_url=world.service.url, seen="AKIDISSUED")


def test_a_process_that_fails(world: World) -> None:
    _no_keys(world)
    script = world.folder / "fail.py"
    script.write_text("raise SystemExit(1)")
    world.profile += ["[profile mine]", f"credential_process = {sys.executable} {script}"]
    world.env.setenv("AWS_PROFILE", "mine")
    hold(world, "CredentialRetrievalError", endpoint_url=world.service.url, count=0)


def test_a_container_that_issues_keys(world: World) -> None:
    _no_keys(world)
    world.env.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{world.mutual.url}/nowhere")
    with serving() as container:
        container.default = Reply(body=json.dumps({"Token": "issued", **ISSUED}).encode())
        world.env.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/keys")
        hold(world, OK, endpoint_url=world.service.url, seen="AKIDISSUED")


def test_a_web_identity(world: World) -> None:
    _no_keys(world)
    token = world.folder / "token"
    token.write_text("web token")
    world.env.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    world.env.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mine")
    with serving() as sts:
        sts.default = Reply(
            body=b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"
            b"<Credentials><AccessKeyId>AKIDWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            b"<SessionToken>token of the web</SessionToken>"
            b"<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
            b"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            headers={"Content-Type": "text/xml"},
        )
        world.env.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        hold(world, OK, endpoint_url=world.service.url, seen="token of the web")


THROTTLED = Reply(400, b'{"__type": "com.amazonaws.sqs#ThrottlingException"}')
RETRIES: dict[str, tuple[dict[str, str], list[str], Config | None, Reply, int]] = {
    # name: (variables, profile, configuration, each answer, requests)
    "AWS_MAX_ATTEMPTS": ({"AWS_MAX_ATTEMPTS": "2"}, [], None, Reply(503), 2),
    "three by default": ({"AWS_MAX_ATTEMPTS": ""}, [], None, Reply(503), 3),
    "legacy": ({"AWS_RETRY_MODE": "legacy", "AWS_MAX_ATTEMPTS": "2"}, [], None, Reply(503), 2),
    "adaptive": ({"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "2"}, [], None, Reply(503), 2),
    "a profile's": (
        {"AWS_MAX_ATTEMPTS": "", "AWS_RETRY_MODE": ""},
        ["max_attempts = 2", "retry_mode = standard"],
        None,
        Reply(500),
        2,
    ),
    "the configuration's": (
        {},
        [],
        Config(retries={"max_attempts": 1, "mode": "standard"}),
        Reply(503),
        2,
    ),
    "the configuration's total": (
        {},
        [],
        Config(retries={"total_max_attempts": 2, "mode": "standard"}),
        Reply(503),
        2,
    ),
    "throttling": ({"AWS_MAX_ATTEMPTS": "2"}, [], None, THROTTLED, 2),
    "throttling by status": ({"AWS_MAX_ATTEMPTS": "2"}, [], None, Reply(429), 2),
    "a fault of the caller": (
        {"AWS_MAX_ATTEMPTS": "2"},
        [],
        None,
        Reply(400, b'{"__type": "InvalidParameterException"}'),
        1,
    ),
    "denied": (
        {"AWS_MAX_ATTEMPTS": "2"},
        [],
        None,
        Reply(403, b'{"__type": "AccessDeniedException"}'),
        1,
    ),
    "a closed connection": ({"AWS_MAX_ATTEMPTS": "2"}, [], None, Reply(None), 2),
}


@pytest.mark.parametrize(
    ("variables", "profile", "config", "reply", "count"), RETRIES.values(), ids=RETRIES.keys()
)
def test_retries(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    profile: list[str],
    config: Config | None,
    reply: Reply,
    count: int,
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.01)
    world.service.default = reply
    for name, value in variables.items():
        if value:
            world.env.setenv(name, value)
        else:
            world.env.delenv(name)
    if profile:
        world.env.setenv("AWS_PROFILE", "mine")
        world.profile += ["[profile mine]", *profile]
    expected = "ConnectionClosedError" if reply.status is None else "ClientError"
    options = {"config": config} if config else {}
    hold(world, expected, endpoint_url=world.service.url, count=count, **options)


ROLE = "role_arn = arn:aws:iam::123456789012:role/mine"


@pytest.mark.parametrize("source", ["source_profile", "credential_source", "web_identity"])
@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_role_of_a_profile(world: World, source: str, status: int) -> None:
    token = world.folder / "token"
    token.write_text("web token")
    _no_keys(world)
    if source == "credential_source":
        world.env.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
        world.env.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    lines = {
        "source_profile": "source_profile = other",
        "credential_source": "credential_source = Environment",
        "web_identity": f"web_identity_token_file = {token}",
    }
    world.profile += ["[profile mine]", ROLE, "role_session_name = me", lines[source]]
    world.profile += ["[profile other]", *KEYS]
    operation = "AssumeRoleWithWebIdentity" if source == "web_identity" else "AssumeRole"
    body = (
        f"<{operation}Response><{operation}Result><Credentials><AccessKeyId>AKIDROLE</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>token of the role</SessionToken>"
        "<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
        f"</{operation}Result></{operation}Response>"
    )
    refusal = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    with serving() as sts:
        sts.default = Reply(
            status, (body if status == 200 else refusal).encode(), {"Content-Type": "text/xml"}
        )
        world.env.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        world.write_profile()
        client = boto3.Session(profile_name="mine").client("sqs", endpoint_url=world.service.url)
        if status == 200:  # the user agents differ in botocore's statistics
            client.receive_message(**RECEIVE)
            using(client, lambda calls: calls.call("ReceiveMessage", RECEIVE))
            tokens = [one.headers["x-amz-security-token"] for one in world.service.requests]
            assert tokens == ["token of the role"] * 2
            return
        with pytest.raises(ClientError):
            client.receive_message(**RECEIVE)
        # boto3's error of STS would look like one of the service's own.
        with pytest.raises(CredentialRetrievalError, match="AccessDenied"):
            using(client, lambda calls: calls.call("ReceiveMessage", RECEIVE))
        assert world.service.requests == []


@pytest.mark.parametrize("v1", ["", "true"])
def test_an_instance_that_issues_keys(world: World, v1: str) -> None:
    _no_keys(world)
    world.env.delenv("AWS_EC2_METADATA_DISABLED")
    world.env.setenv("AWS_EC2_METADATA_V1_DISABLED", v1)
    with serving() as metadata:
        world.env.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        told = json.dumps({"Code": "Success", "Token": "of the instance", **ISSUED}).encode()
        for _ in range(2):  # for each of the two sessions
            replies = [Reply(body=b"token"), Reply(body=b"role"), Reply(body=told)]
            metadata.replies.extend(replies)
        hold(world, OK, endpoint_url=world.service.url, seen="of the instance")


def test_keys_of_the_file_of_credentials(world: World, tmp_path: Path) -> None:
    _no_keys(world)
    file = tmp_path / "credentials"
    file.write_text("\n".join(["[mine]", *KEYS, "aws_session_token = token of the file"]))
    world.env.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    world.env.setenv("AWS_PROFILE", "mine")
    hold(world, OK, endpoint_url=world.service.url, seen="token of the file")


@pytest.mark.parametrize("variable", ["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"])
def test_tokens(world: World, variable: str) -> None:
    world.env.setenv(variable, "a token")
    hold(world, OK, endpoint_url=world.service.url, seen="a token")


@pytest.mark.parametrize("variable", ["TOKEN", "TOKEN_FILE"])
def test_a_container_that_wants_a_token(world: World, tmp_path: Path, variable: str) -> None:
    _no_keys(world)
    token = tmp_path / "token"
    token.write_text("Basic abc")
    value = "Basic abc" if variable == "TOKEN" else str(token)
    world.env.setenv(f"AWS_CONTAINER_AUTHORIZATION_{variable}", value)
    with serving() as container:
        container.default = Reply(body=json.dumps({"Token": "issued", **ISSUED}).encode())
        world.env.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/keys")
        hold(world, OK, endpoint_url=world.service.url, seen="AKIDISSUED")
        assert {one.headers["authorization"] for one in container.requests} == {"Basic abc"}


SAMPLES: dict[str, tuple[str, ...]] = {
    "profile": ("mine", "missing"),
    "region": ("ap-south-1", "us-gov-west-1", "no region!"),
    "data_path": ("/nowhere",),
    "config_file": ("/nowhere",),
    "ca_bundle": ("{ca}",),
    "api_versions": (),
    "credentials_file": ("/nowhere",),
    "metadata_service_timeout": ("3", "long"),
    "metadata_service_num_attempts": ("3", "many"),
    "ec2_metadata_service_endpoint": ("http://localhost:9", "nonsense"),
    "ec2_metadata_service_endpoint_mode": ("ipv6", "ipv5"),
    "ec2_metadata_v1_disabled": ("true",),
    "imds_use_ipv6": ("true",),
    "use_dualstack_endpoint": ("true", "false"),
    "use_fips_endpoint": ("true", "false"),
    "ignore_configured_endpoint_urls": ("true",),
    "parameter_validation": ("false",),
    "csm_enabled": ("true",),
    "csm_host": ("localhost",),
    "csm_port": ("31000",),
    "csm_client_id": ("mine",),
    "endpoint_discovery_enabled": ("true", "auto"),
    "sts_regional_endpoints": ("legacy", "local"),
    "retry_mode": ("legacy", "standard", "adaptive", "often"),
    "defaults_mode": ("in-region", "cross-region", "mobile", "standard", "mine"),
    "max_attempts": ("1", "0", "many"),
    "user_agent_appid": ("mine", "with blanks and more than fifty characters in total, surely"),
    "request_min_compression_size_bytes": ("0", "-1"),
    "disable_request_compression": ("true",),
    "sigv4a_signing_region_set": ("*",),
    "request_checksum_calculation": ("when_required", "never"),
    "response_checksum_validation": ("when_required", "never"),
    "account_id_endpoint_mode": ("disabled", "required", "never"),
    "disable_host_prefix_injection": ("true",),
    "auth_scheme_preference": ("sigv4", "none"),
    "tcp_keepalive": ("true",),
    "s3_disable_express_session_auth": ("true",),
}
"""Values of each of botocore's variables, good and bad."""


def test_each_variable_of_botocores_has_samples() -> None:
    assert BOTOCORE_DEFAUT_SESSION_VARIABLES.keys() == SAMPLES.keys()


PAIRS = {
    "variable": (("sqs", False), ("s3", True)),
    "profile": (("sqs", True), ("s3", False)),
}
"""Where a value is set, and for each place the services, without and with an endpoint's URL. Every
pair of these three is tried, and at night all three."""
EVERYTHING = dict.fromkeys(PAIRS, tuple(product(("sqs", "s3"), (False, True))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "cases", [PAIRS, pytest.param(EVERYTHING, marks=pytest.mark.long)], ids=["pairs", "everything"]
)
@pytest.mark.parametrize("variable", SAMPLES)
def test_each_variable_of_botocores(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    cases: dict[str, tuple[tuple[str, bool], ...]],
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.01)
    key, name = BOTOCORE_DEFAUT_SESSION_VARIABLES[variable][:2]
    world.env.setenv("HTTPS_PROXY", world.proxy.url)  # tells where a request should have gone
    world.service.default = Reply(headers={"ETag": '"e"'})
    for sample in SAMPLES[variable]:
        value = sample.format(ca=world.file("ca.pem"))
        for where, services in cases.items():
            with monkeypatch.context() as env:
                world.profile[:] = ["[profile mine]", *KEYS]
                if where == "variable" and name:
                    env.setenv(name if isinstance(name, str) else name[-1], value)
                elif where == "profile" and key:
                    env.setenv("AWS_PROFILE", "mine")
                    world.profile.append(f"{key} = {value}")
                else:
                    continue
                if variable != "config_file":
                    world.write_profile()
                for service, has_url in services:
                    url = world.service.url if has_url else None
                    hold(world, None, service=service, endpoint_url=url)


S3_SAMPLES = {
    "addressing_style": ("path", "virtual", "auto", "other"),
    "use_accelerate_endpoint": ("true",),
    "use_dualstack_endpoint": ("true",),
    "payload_signing_enabled": ("true",),
    "use_arn_region": ("true",),
    "us_east_1_regional_endpoint": ("legacy", "regional", "other"),
    "s3_disable_multiregion_access_points": ("true",),
}


def test_each_setting_of_s3(world: World) -> None:
    assert DEFAULT_S3_CONFIG_VARS.keys() == S3_SAMPLES.keys()
    world.env.setenv("HTTPS_PROXY", world.proxy.url)
    world.env.setenv("AWS_PROFILE", "mine")
    world.service.default = Reply(headers={"ETag": '"e"'})
    for key, values in S3_SAMPLES.items():
        for value in values:
            world.profile[:] = ["[profile mine]", *KEYS, "s3 =", f"  {key} = {value}"]
            hold(world, None, service="s3")
            hold(world, None, service="s3", endpoint_url=world.service.url)


@pytest.mark.parametrize("source", ["profile", "config"])
def test_tcp_keepalive(world: World, source: str) -> None:
    options: dict[str, Any] = {}
    if source == "profile":
        world.profile += ["[profile mine]", "tcp_keepalive = true", *KEYS]
        options["profile"] = "mine"
    else:
        options["config"] = Config(tcp_keepalive=True)
    if world.profile:
        world.write_profile()
    client = boto3.Session(profile_name=options.pop("profile", None)).client(
        "sqs", endpoint_url=world.service.url, **options
    )

    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        (idle,) = idle_connections(calls)
        plug = idle.transport.get_extra_info("socket")
        assert plug.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

    using(client, ask)
