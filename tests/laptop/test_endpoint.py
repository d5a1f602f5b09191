import os
import subprocess
import sys

import pytest
from retinue_cli.local import AwsEndpoint, LaptopError, named_endpoint


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": " ", "LOCALSTACK_HOST": ""}, None),
        ({"USE_SSL": "1"}, None),  # says how, not where
        ({"AWS_ENDPOINT_URL": "http://box:1234/"}, "http://box:1234"),
        ({"LOCALSTACK_HOST": "box"}, "http://box:4566"),
        ({"LOCALSTACK_HOST": "box:77", "EDGE_PORT": "88"}, "http://box:77"),
        ({"LOCALSTACK_HOST": "box", "EDGE_PORT": "88", "USE_SSL": "true"}, "https://box:88"),
        ({"EDGE_PORT": "88"}, "http://localhost:88"),
    ],
)
def test_localstacks_variables_name_an_endpoint(
    variables: dict[str, str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "LOCALSTACK_HOST", "EDGE_PORT", "USE_SSL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for endpoint in (named_endpoint(), named_endpoint(variables)):
        assert (endpoint.url if endpoint else None) == url


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ENDPOINT_URL": "box:4566"},
        {"AWS_ENDPOINT_URL": "http://"},
        {"AWS_ENDPOINT_URL": "http://box:port"},
        {"LOCALSTACK_HOST": "box:port"},
        {"EDGE_PORT": "port"},
        {"EDGE_PORT": "0"},
        {"AWS_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"},
    ],
)
def test_what_is_no_emulators_address_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(LaptopError, match=next(iter(variables))):
        named_endpoint(variables)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid:4566"])
def test_an_endpoint_where_nobody_answers_is_an_error_with_a_remedy(url: str) -> None:
    with pytest.raises(LaptopError, match=r"nothing at .* unset AWS_ENDPOINT_URL"):
        AwsEndpoint(url).check()


def test_the_users_own_aws_and_proxy_play_no_part(
    aws: AwsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    misleading = {
        "AWS_PROFILE": "production",
        "AWS_DEFAULT_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": "/no/such",
        "AWS_REGION": "eu-west-1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "NO_PROXY": "example.com",
    }
    for name, value in misleading.items():
        monkeypatch.setenv(name, value)
    aws.check()

    variables = aws.environment({"PATH": os.defpath, **misleading})
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} & variables.keys()
    assert variables["NO_PROXY"] == "example.com,127.0.0.1"
    program = (
        "import boto3; s3 = boto3.client('s3'); s3.create_bucket(Bucket='plain-boto3');"
        "print(s3.meta.region_name, s3.generate_presigned_url('get_object',"
        " Params={'Bucket': 'b', 'Key': 'k'}).partition('?')[0])"
    )
    # By a name, not an address: there boto3 would put the bucket in front of the host.
    named = AwsEndpoint(aws.url.replace("127.0.0.1", "localhost"))
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=named.environment(variables),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert said == ["us-east-1", f"{named.url}/b/k"]
    buckets = aws.client("s3").list_buckets()["Buckets"]
    assert "plain-boto3" in [bucket["Name"] for bucket in buckets]


def test_the_variables_alone_hold_nothing_of_this_process() -> None:
    variables = AwsEndpoint("http://127.0.0.1:1").environment()
    assert "PATH" not in variables
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
