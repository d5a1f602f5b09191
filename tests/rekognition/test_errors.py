"""Every error says what to do next."""

import socket
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
from botocore import exceptions as aws
from botocore.exceptions import ClientError
from rekognition.conftest import BUCKET, painting, referenced
from retinue_aws import RefusedObjects
from retinue_rekognition.errors import (
    REJECTED,
    RULES,
    START_RULES,
    TOO_LARGE,
    UNSUPPORTED,
    CredentialsError,
    explain,
    explained,
)
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.plugin import DETECTORS
from retinue_rekognition.s3 import why_unreadable
from retinue_rekognition_emulator import Endpoint, Failure
from retinue_rekognition_emulator.model import operation_model, service_model
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    RetinueError,
    RetriableError,
)

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]


def test_every_declared_error_has_a_rule() -> None:
    operations = {name for detector in DETECTORS for name in detector.operations}
    declared = {
        shape.error_code for name in operations for shape in operation_model(name).error_shapes
    }
    assert declared
    assert declared <= START_RULES.keys()
    rekognition_image = {
        error.error_code
        for name in ("CreateCollection", "DeleteCollection", "AssociateFaces", "DeleteUser")
        for error in service_model().operation_model(name).error_shapes
    }
    assert rekognition_image <= RULES.keys()


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, RetriableError),
        ("ProvisionedThroughputExceededException", 400, RetriableError),
        ("InternalServerError", 500, RetriableError),
        ("SomethingNew", 503, RetriableError),
        ("SomethingNew", 429, RetriableError),
        ("SomethingNew", 400, DetectorNotReadyError),
        ("SomethingNew", 403, DetectorNotReadyError),
        ("LimitExceededException", 400, DetectorNotReadyError),
        ("ResourceNotFoundException", 400, DetectorNotReadyError),
        ("AccessDeniedException", 400, DetectorNotReadyError),
        ("UnrecognizedClientException", 400, CredentialsError),
        ("ExpiredTokenException", 400, CredentialsError),
        ("com.amazon.coral#ExpiredTokenException", 400, CredentialsError),
        ("ImageTooLargeException", 400, InvalidImageError),
        ("InvalidImageFormatException", 400, InvalidImageError),
        ("SerializationException", 400, ConfigurationError),
    ],
)
def test_codes(code: str, status: int, expected: type[RetinueError]) -> None:
    answer = {
        "Error": {"Code": code, "Message": "why"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": "7"}},
    }
    error = explain(ClientError(answer, "DetectLabels"), "DetectLabels")
    assert type(error) is expected
    assert "DetectLabels" in str(error)
    assert "why" in str(error)
    if isinstance(error, RetriableError):
        assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (aws.EndpointConnectionError(endpoint_url="u"), RetriableError),
        (aws.ConnectTimeoutError(endpoint_url="u"), RetriableError),
        (aws.ReadTimeoutError(endpoint_url="u"), RetriableError),
        (aws.ConnectionClosedError(endpoint_url="u"), RetriableError),
        (aws.SSLError(endpoint_url="u", error="e"), RetriableError),
        (ConnectionResetError(), RetriableError),
        (aws.NoCredentialsError(), DetectorNotReadyError),
        (aws.CredentialRetrievalError(provider="p", error_msg="m"), DetectorNotReadyError),
        (aws.UnauthorizedSSOTokenError(), DetectorNotReadyError),
        (aws.ParamValidationError(report="r"), ConfigurationError),
    ],
)
def test_what_botocore_raises(raised: Exception, expected: type[RetinueError]) -> None:
    with pytest.raises(expected), explained("DetectLabels"):
        raise raised


@pytest.mark.parametrize("code", ["reset", "garbage", "cut"])
def test_a_broken_answer_is_never_nothing_found(
    made: Make, endpoint: Endpoint, stored: Stored, code: str
) -> None:
    detector, image = made(LabelDetector), stored("a.png")
    endpoint.faults.fail_next("DetectLabels", Failure(code))
    [broken] = detector.detect([image])
    assert isinstance(broken, RetriableError)
    [whole] = detector.detect([image])
    assert isinstance(whole, Findings)


def test_botocore_retries_nothing(made: Make, endpoint: Endpoint, stored: Stored) -> None:
    detector, image = made(LabelDetector), stored("a.png")
    for code in ("ThrottlingException", "LimitExceededException", "InternalServerError", "reset"):
        endpoint.errors.clear()
        endpoint.faults.fail_next("DetectLabels", Failure(code, status=500))
        [answer] = detector.detect([image])
        assert not isinstance(answer, Findings)
        assert endpoint.errors.total() == 1


def test_a_slow_answer_is_retriable(made: Make, endpoint: Endpoint, stored: Stored) -> None:
    detector = made(LabelDetector, read_timeout_seconds=0.2)
    endpoint.faults.fail_next("DetectLabels", Failure("hang", seconds=0.6))
    [answer] = detector.detect([stored("a.png")])
    assert isinstance(answer, RetriableError)


def test_nobody_listens(made: Make, stored: Stored) -> None:
    detector = made(LabelDetector, endpoint_url="http://127.0.0.1:9")
    [answer] = detector.detect([stored("a.png")])
    assert isinstance(answer, RetriableError)


def test_expired_credentials_blame_no_image_and_are_looked_up_anew(
    made: Make, endpoint: Endpoint, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, image = made(LabelDetector), stored("a.png")
    endpoint.faults.accepted_key_ids = frozenset({"AKIARENEWED"})
    [refused] = detector.detect([image])
    assert isinstance(refused, DetectorNotReadyError)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIARENEWED")
    [found] = detector.detect([image])
    assert isinstance(found, Findings)


def test_no_credentials_refuse_to_start_but_not_for_ever(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(DetectorNotReadyError, match="credentials"):
        made(LabelDetector)


def test_a_small_image_is_to_blame_only_if_a_good_one_is_accepted(
    made: Make, endpoint: Endpoint, stored: Stored
) -> None:
    tiny = stored("tiny.png", painting(size=(60, 60)))
    detector = made(LabelDetector)
    for _ in range(3):
        [answer] = detector.detect([tiny])
        assert isinstance(answer, InvalidImageError)
        assert answer.code == REJECTED
    assert endpoint.calls["DetectLabels"] == 1  # the good image, once
    detector = made(LabelDetector, label_inclusion_filters=["No Such Label"])
    [answer] = detector.detect([tiny])
    assert isinstance(answer, DetectorNotReadyError)
    assert "No Such Label" in str(answer)


@pytest.mark.parametrize(
    ("key", "size_bytes", "code"),
    [
        ("a.webp", None, UNSUPPORTED),
        ("A.GIF", None, UNSUPPORTED),
        ("a.jpg", 15 * 2**20 + 1, TOO_LARGE),
        ("a.jpg", 0, "empty_file"),
    ],
)
def test_what_the_service_would_refuse_is_said_before_the_call(
    made: Make, endpoint: Endpoint, key: str, size_bytes: int | None, code: str
) -> None:
    [answer] = made(FaceDetector).detect([referenced(key, size_bytes=size_bytes)])
    assert isinstance(answer, InvalidImageError)
    assert (answer.code, answer.retryable) == (code, False)
    assert endpoint.calls.total() + endpoint.errors.total() == 0


def test_a_format_that_only_the_service_sees(made: Make, stored: Stored) -> None:
    [answer] = made(FaceDetector).detect([stored("a.jpg", b"RIFF....WEBPVP8 ")])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == UNSUPPORTED


def _head(
    status: int, code: str = "", headers: dict[str, str] | None = None, **answer: object
) -> Mock:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    client = Mock()
    if status == 200:
        client.head_object.return_value = {"ResponseMetadata": metadata, **answer}
    else:
        error = {"Error": {"Code": code or str(status)}, "ResponseMetadata": metadata}
        client.head_object.side_effect = ClientError(error, "HeadObject")
    return client


@pytest.mark.parametrize(
    ("client", "version_id", "expected", "says"),
    [
        (_head(404), "v1", "object_not_found", "v1"),
        (_head(405), "v1", "object_not_found", "v1"),
        (_head(403), "v1", DetectorNotReadyError, "s3:GetObject"),
        (_head(400), "v1", DetectorNotReadyError, "us-east-1"),
        (_head(400, "ExpiredToken"), "v1", DetectorNotReadyError, "credentials"),
        (
            _head(301, headers={"x-amz-bucket-region": "eu-west-1"}),
            "v1",
            DetectorNotReadyError,
            "eu",
        ),
        (
            _head(200, headers={"x-amz-bucket-region": "eu-west-1"}),
            "v1",
            DetectorNotReadyError,
            "eu",
        ),
        (_head(503), "v1", RetriableError, "503"),
        (_head(200), "v1", RetriableError, "KMS"),
        (_head(200, StorageClass="GLACIER"), "v1", "object_archived", "archived"),
        (_head(200, ETag='"other"'), None, "object_replaced", "overwritten"),
        (_head(200), None, RetriableError, "without an ETag"),
        (_head(200, ETag='"etag"'), None, RetriableError, "KMS"),
    ],
)
def test_s3_is_asked_why(
    client: Mock, version_id: str | None, expected: type[RetinueError] | str, says: str
) -> None:
    image = referenced("a.jpg", version_id=version_id)
    error = why_unreadable(client, image.reference, "us-east-1", "cannot read", RefusedObjects())
    assert says in str(error)
    if isinstance(expected, str):
        assert isinstance(error, InvalidImageError)
        assert (error.code, error.retryable) == (expected, True)
    else:
        assert isinstance(error, expected)
    [call] = client.head_object.call_args_list
    assert call.kwargs.get("VersionId") == version_id
    assert call.kwargs["Bucket"] == BUCKET


def test_s3_is_asked_over_the_wire(made: Make, endpoint: Endpoint, stored: Stored) -> None:
    detector = made(LabelDetector, s3_endpoint_url=endpoint.url)
    [gone] = detector.detect([referenced("not there+ü.jpg")])
    assert isinstance(gone, InvalidImageError)
    assert (gone.code, gone.retryable) == ("object_not_found", True)
    endpoint.faults.head_object_status = 403
    [forbidden] = detector.detect([referenced("not there.jpg")])
    assert isinstance(forbidden, DetectorNotReadyError)
    assert "s3:GetObject" in str(forbidden)
    endpoint.faults.head_object_status = None
    endpoint.faults.bucket_region = "eu-west-1"
    image = stored("there.png")
    endpoint.faults.fail_next("DetectLabels", Failure("InvalidS3ObjectException"))
    [elsewhere] = detector.detect([image])
    assert isinstance(elsewhere, DetectorNotReadyError)
    assert "eu-west-1" in str(elsewhere)


@pytest.fixture
def deaf_s3() -> Iterator[str]:
    """Yield an address where nobody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_s3_does_not_answer(made: Make, deaf_s3: str) -> None:
    detector = made(LabelDetector, s3_endpoint_url=deaf_s3)
    [answer] = detector.detect([referenced("missing.jpg")])
    assert isinstance(answer, RetriableError)
