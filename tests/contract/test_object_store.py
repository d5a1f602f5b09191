"""Fetching from S3: as it is emulated, and from the tests' own stand-in."""

import hashlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)
from fakes.object_store import MemoryS3, client_error, store_on
from retinue_aws import neighbours
from retinue_aws.refusals import NEIGHBOURS
from retinue_cli.local import AwsEndpoint
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageLimits,
    ImageReference,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_workers.intake.object_reader import ObjectReader
from retinue_workers.intake.s3 import ObjectStore

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

DATA = b"\x89PNG and so on"
ETAG = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


@pytest.fixture(params=["memory", "s3"])
def s3(request: pytest.FixtureRequest) -> "S3Client":
    if request.param == "memory":
        return cast("S3Client", MemoryS3())
    client: S3Client = request.getfixturevalue("aws").client("s3")
    return client


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"b{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3: "S3Client", bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


OPENED: list[ObjectStore] = []


@pytest.fixture(autouse=True)
def _stores_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def store(s3: "S3Client | MemoryS3", max_bytes: int = 1_000) -> ObjectStore:
    limits = ImageLimits(max_bytes=max_bytes)
    if isinstance(s3, MemoryS3):
        OPENED.append(store_on(s3, limits))
    else:
        OPENED.append(ObjectStore(lambda: ObjectReader(s3), limits))
    return OPENED[-1]


def put(s3: "S3Client", bucket: str, key: str, data: bytes = DATA) -> ImageReference:
    answer = s3.put_object(Bucket=bucket, Key=key, Body=data)
    return ImageReference(bucket, key, answer.get("VersionId"), answer["ETag"].strip('"'))


def refused(s3: "S3Client", reference: ImageReference, **limits: int) -> InvalidImageError:
    with pytest.raises(InvalidImageError) as caught:
        store(s3, **limits).fetch(reference)
    return caught.value


@pytest.mark.parametrize(
    "key",
    [
        "plain.jpg",
        "with space.jpg",
        " leading and trailing ",
        "a+b=c&d?e#f%41.jpg",
        "'single' \"double\" `back`.jpg",
        "katze 🐈‍⬛ Größe.jpg",
        "a/b//c.jpg",
        "x" * 1_024,
        "🐈" * 256,
        "~!@$^*()[]{}|\\;:,<>.jpg",
    ],
)
def test_an_object_by_any_name(s3: "S3Client", bucket: str, key: str) -> None:
    assert store(s3).fetch(put(s3, bucket, key)) == DATA


def test_each_version_is_fetched_as_it_was(s3: "S3Client", versioned: str) -> None:
    versions = [put(s3, versioned, "a.jpg", text) for text in (b"one", b"two", b"three")]
    assert len({version.version_id for version in versions}) == 3
    assert [store(s3).fetch(version) for version in versions] == [b"one", b"two", b"three"]


def test_an_older_version_survives_a_delete_marker(s3: "S3Client", versioned: str) -> None:
    reference = put(s3, versioned, "a.jpg")
    marker = s3.delete_object(Bucket=versioned, Key="a.jpg")
    assert store(s3).fetch(reference) == DATA
    error = refused(s3, ImageReference(versioned, "a.jpg", marker["VersionId"]))
    assert (error.code, error.retryable) == ("object_not_found", True)


def test_a_version_that_is_gone(s3: "S3Client", versioned: str) -> None:
    reference = put(s3, versioned, "a.jpg")
    put(s3, versioned, "a.jpg", b"another")
    s3.delete_object(Bucket=versioned, Key="a.jpg", VersionId=reference.version_id or "")
    error = refused(s3, reference)
    assert (error.code, error.retryable) == ("object_not_found", True)
    assert reference.uri in str(error)


def test_an_overwritten_object_is_not_taken_for_the_image(s3: "S3Client", bucket: str) -> None:
    reference = put(s3, bucket, "a.jpg")
    for another in (b"", b"x" * 1_001):  # its size is of no interest
        put(s3, bucket, "a.jpg", another)
        error = refused(s3, reference)
        assert (error.code, error.retryable) == ("object_replaced", True)
    put(s3, bucket, "a.jpg")  # the same bytes again are the same image
    assert store(s3).fetch(reference) == DATA


def test_an_object_that_is_gone(s3: "S3Client", bucket: str) -> None:
    reference = put(s3, bucket, "a.jpg")
    s3.delete_object(Bucket=bucket, Key="a.jpg")
    error = refused(s3, reference)
    assert (error.code, error.retryable) == ("object_not_found", True)


def test_a_bucket_that_is_gone(s3: "S3Client") -> None:
    error = refused(s3, ImageReference("no-such-bucket", "a.jpg", etag=ETAG))
    assert (error.code, error.retryable) == ("bucket_not_found", True)
    assert "no-such-bucket" in str(error)


def test_an_object_that_is_too_large(s3: "S3Client", bucket: str) -> None:
    reference = put(s3, bucket, "a.jpg", b"x" * 101)
    error = refused(s3, reference, max_bytes=100)
    assert (error.code, error.retryable) == ("too_many_bytes", False)
    assert "101 bytes" in str(error)
    assert store(s3, max_bytes=101).fetch(reference) == b"x" * 101


def test_an_empty_object(s3: "S3Client", bucket: str) -> None:
    error = refused(s3, put(s3, bucket, "a.jpg", b""))
    assert (error.code, error.retryable) == ("empty_file", False)


@pytest.mark.parametrize(
    ("at", "size", "part"), [(0, 4, b"\x89PNG"), (8, 100, DATA[8:]), (0, 14, DATA), (13, 1, b"n")]
)
def test_a_part_of_an_object(s3: "S3Client", bucket: str, at: int, size: int, part: bytes) -> None:
    reference = put(s3, bucket, "a.mp4")
    assert store(s3, max_bytes=5).read_part(reference, at, size) == (part, 14)


def test_a_part_of_an_object_that_ended_or_was_replaced(s3: "S3Client", bucket: str) -> None:
    empty = put(s3, bucket, "empty.mp4", b"")
    with pytest.raises(InvalidImageError) as caught:
        store(s3).read_part(empty, 0, 10)
    assert caught.value.code == "empty_file"
    reference = put(s3, bucket, "a.mp4")
    with pytest.raises(RetriableError, match="no byte 14"):
        store(s3).read_part(reference, 14, 10)
    for another in (b"", b"another upload that is longer"):
        put(s3, bucket, "a.mp4", another)
        with pytest.raises(InvalidImageError) as caught:
            store(s3).read_part(reference, 0, 10)
        assert caught.value.code == "object_replaced"


# Faults that only the stand-in has at will.


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", DetectorNotReadyError),
        ("ExpiredToken", DetectorNotReadyError),
        ("InvalidAccessKeyId", DetectorNotReadyError),
        ("SignatureDoesNotMatch", DetectorNotReadyError),
        ("RequestTimeTooSkewed", DetectorNotReadyError),
        ("403", DetectorNotReadyError),
        ("SlowDown", RetriableError),
        ("InternalError", RetriableError),
        ("503", RetriableError),
        ("", RetriableError),
        ("InvalidObjectState", InvalidImageError),
    ],
)
def test_what_s3_refuses_is_sorted_by_what_to_do_next(code: str, kind: type[DetectorError]) -> None:
    def fault(bucket: str, key: str) -> None:
        raise client_error(code)

    s3 = MemoryS3()
    s3.fault = fault
    with pytest.raises(kind, match=r"a\.jpg"):
        store(s3).fetch(ImageReference("b", "a.jpg", etag=ETAG))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NoCredentialsError(), DetectorNotReadyError),
        (PartialCredentialsError(provider="env", cred_var="secret"), DetectorNotReadyError),
        (CredentialRetrievalError(provider="ecs", error_msg="no"), DetectorNotReadyError),
        (EndpointConnectionError(endpoint_url="http://x"), RetriableError),
        (BotoCoreError(), RetriableError),
        (OSError("reset"), RetriableError),
    ],
)
def test_missing_credentials_blame_no_image(error: Exception, kind: type[DetectorError]) -> None:
    def fault(bucket: str, key: str) -> None:
        raise error

    s3 = MemoryS3()
    s3.fault = fault
    with pytest.raises(kind):
        store(s3).fetch(ImageReference("b", "a.jpg", etag=ETAG))


# A connection that breaks in the middle: on a real socket, as no client can pretend it.


@contextmanager
def breaking_server(sent: bytes, announced: int, *, drips: bool = False) -> Iterator[str]:
    """Answers every request with fewer bytes than it announces, and then hangs up, or drips."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n"
                    f'ETag: "{ETAG}"\r\nConnection: close\r\n\r\n'
                )
                connection.sendall(head.encode() + sent)
                with suppress(OSError):  # until the other side has had enough
                    while drips:
                        connection.sendall(b".")
                        time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("sent", [b"", b"half of"])
def test_half_an_object_is_no_corrupt_image(sent: bytes) -> None:
    with breaking_server(sent, announced=500) as url:
        client: Any = AwsEndpoint(url).client("s3")
        with pytest.raises(RetriableError):
            store(client).fetch(ImageReference("b", "a.jpg", etag=ETAG))
        client.close()


def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait for the next byte is long, and all of them together never end."""
    monkeypatch.setattr("retinue_workers.intake.object_reader.LONGEST_READ_SECONDS", 0.5)
    with breaking_server(b"half of", announced=10**9, drips=True) as url:
        client: Any = AwsEndpoint(url).client("s3")
        with pytest.raises(RetriableError, match=r"did not send .* within"):
            store(client, max_bytes=10**9).fetch(ImageReference("b", "a.jpg", etag=ETAG))
        client.close()


def test_a_refusal_of_all_that_ends_while_it_is_looked_into_blames_no_object() -> None:
    s3 = MemoryS3()
    s3.create_bucket(Bucket="b")
    for key in ("known.jpg", "a.jpg"):
        s3.put_object(Bucket="b", Key=key, Body=DATA)
    one = store(s3)
    assert one.fetch(ImageReference("b", "known.jpg", etag=ETAG)) == DATA
    refusals = iter([True])

    def fault(bucket: str, key: str) -> None:
        if next(refusals, False):
            raise client_error("AccessDenied", 403)

    s3.fault = fault
    with pytest.raises(RetriableError, match="but not now"):
        one.fetch(ImageReference("b", "a.jpg", etag=ETAG))
    assert one.fetch(ImageReference("b", "a.jpg", etag=ETAG)) == DATA


# One object that is refused, or all of them.


OTHERS = ("folder/known.jpg", "elsewhere/other.jpg")


def refusing(
    answers: dict[str, tuple[str, int]], others: tuple[str, ...] = OTHERS
) -> tuple[MemoryS3, dict[str, ImageReference]]:
    """Return an S3 that answers about some keys with an error, and its objects by key."""
    s3 = MemoryS3()
    s3.create_bucket(Bucket="b")
    client = cast("S3Client", s3)
    objects = {key: put(client, "b", key) for key in (*answers, *others)}

    def fault(_: str, key: str) -> None:
        if key in answers:
            raise client_error(*answers[key])

    s3.fault = fault
    return s3, objects


REFUSALS = [
    ("AccessDenied", 403, "access_denied"),
    ("AllAccessDisabled", 403, "access_denied"),
    ("SignatureDoesNotMatch", 403, "access_denied"),
    ("403", 403, "access_denied"),
    ("InvalidRequest", 400, "access_denied"),
    ("KMS.DisabledException", 400, "kms_key_unavailable"),
    ("KMS.NotFoundException", 400, "kms_key_unavailable"),
    ("KMS.KMSInvalidStateException", 400, "kms_key_unavailable"),
]


@pytest.mark.parametrize(("code", "status", "blamed"), REFUSALS)
@pytest.mark.parametrize("operation", ["fetch", "head", "tags"])
def test_an_object_that_is_refused_alone_is_to_blame(
    operation: str, code: str, status: int, blamed: str
) -> None:
    s3, objects = refusing({"a.jpg": (code, status)})
    ask = getattr(store(s3), operation)
    ask(objects["folder/known.jpg"])
    with pytest.raises(InvalidImageError, match=r"a\.jpg") as caught:
        ask(objects["a.jpg"])
    assert (caught.value.code, caught.value.retryable) == (blamed, True)


@pytest.mark.parametrize(("code", "status", "blamed"), REFUSALS)
@pytest.mark.parametrize("operation", ["fetch", "head", "tags"])
def test_without_another_object_it_is_not_decided_and_after_one_it_is(
    operation: str, code: str, status: int, blamed: str
) -> None:
    s3, objects = refusing({"a.jpg": (code, status)})
    ask = getattr(store(s3), operation)
    for _ in range(5):
        with pytest.raises(ObjectRefusedError, match=r"a\.jpg"):
            ask(objects["a.jpg"])
    ask(objects["folder/known.jpg"])
    with pytest.raises(InvalidImageError) as caught:
        ask(objects["a.jpg"])
    assert caught.value.code == blamed


@pytest.mark.parametrize("operation", ["fetch", "head", "tags"])
def test_if_all_are_refused_none_is_to_blame(operation: str) -> None:
    answers: dict[str, tuple[str, int]] = {}
    s3, objects = refusing(answers)
    ask = getattr(store(s3), operation)
    ask(objects["folder/known.jpg"])
    answers |= dict.fromkeys(objects, ("AccessDenied", 403))
    for _ in range(5):
        for reference in objects.values():
            with pytest.raises(ObjectRefusedError):
                ask(reference)
    answers.clear()
    for reference in objects.values():
        ask(reference)


def test_the_object_that_was_served_last_may_be_gone() -> None:
    s3, objects = refusing({"a.jpg": ("AccessDenied", 403)})
    one = store(s3)
    for key in ("folder/known.jpg", "elsewhere/other.jpg"):
        one.fetch(objects[key])
    s3.delete_object(Bucket="b", Key="elsewhere/other.jpg")
    with pytest.raises(InvalidImageError) as caught:
        one.fetch(objects["a.jpg"])
    assert caught.value.code == "access_denied"


def test_what_s3_serves_counts_even_if_it_is_no_image() -> None:
    s3, objects = refusing({"a.jpg": ("AccessDenied", 403)})
    one = store(s3, max_bytes=1)
    with pytest.raises(InvalidImageError, match="bytes"):
        one.fetch(objects["folder/known.jpg"])
    with pytest.raises(InvalidImageError) as caught:
        one.fetch(objects["a.jpg"])
    assert caught.value.code == "access_denied"


@pytest.mark.parametrize("operation", ["fetch", "head"])
def test_an_archived_object_is_its_own_fault(operation: str) -> None:
    s3, objects = refusing({"a.jpg": ("InvalidObjectState", 403)})
    with pytest.raises(InvalidImageError) as caught:
        getattr(store(s3), operation)(objects["a.jpg"])
    assert (caught.value.code, caught.value.retryable) == ("object_archived", True)


@pytest.mark.parametrize("operation", ["fetch", "head"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ExpiredToken", DetectorNotReadyError),
        ("KMS.ThrottlingException", RetriableError),
        ("KMS.KMSInternalException", RetriableError),
    ],
)
def test_what_no_object_is_to_blame_for_is_told_by_the_code(
    operation: str, code: str, kind: type[DetectorError]
) -> None:
    s3, objects = refusing({"a.jpg": (code, 400)})
    one = store(s3)
    getattr(one, operation)(objects["folder/known.jpg"])
    with pytest.raises(kind) as caught:
        getattr(one, operation)(objects["a.jpg"])
    assert not isinstance(caught.value, ObjectRefusedError)


def test_a_neighbour_shows_that_the_object_is_to_blame_if_it_is_the_first() -> None:
    s3, objects = refusing(
        {"folder/a.jpg": ("AccessDenied", 403)}, (*OTHERS, "folder/b/c.jpg", "empty.jpg")
    )
    with pytest.raises(InvalidImageError) as caught:
        store(s3).fetch(objects["folder/a.jpg"])
    assert caught.value.code == "access_denied"
    s3.delete_object(Bucket="b", Key="folder/known.jpg")
    with pytest.raises(ObjectRefusedError):
        store(s3).fetch(objects["folder/a.jpg"])


def test_neighbours_are_a_few_objects_of_the_same_folder(s3: "S3Client", bucket: str) -> None:
    assert neighbours(s3, bucket, "a.jpg") == []
    assert neighbours(s3, "no-such-bucket", "a.jpg") == []
    names = ["f/a b.jpg", "f/ä.jpg", "f/c.jpg", "f/deeper/d.jpg", "g.jpg", "f.jpg", "f/"]
    for name in names:
        put(s3, bucket, name, b"" if name == "f/" else DATA)
    assert sorted(neighbours(s3, bucket, "f/c.jpg")) == [("f/a b.jpg", ETAG), ("f/ä.jpg", ETAG)]
    assert neighbours(s3, bucket, "g.jpg") == [("f.jpg", ETAG)]
    for number in range(20):
        put(s3, bucket, f"h/{number}.jpg")
    assert len(set(neighbours(s3, bucket, "h/3.jpg")) - {("h/3.jpg", ETAG)}) == NEIGHBOURS
