"""An object that Rekognition cannot read is compared with others, also in a whole worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fakes.queue import MemoryQueue
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from rekognition.conftest import BUCKET, TWO_FACES
from rekognition.test_worker import POINT
from retinue_history import ConnectionPool, History
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition_emulator import Endpoint, Failure, ObjectFault, StoredObject
from retinue_sdk import (
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors import retry_policy

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]

REFUSALS = [
    (ObjectFault(), "access_denied"),
    (ObjectFault("InvalidRequest", 400, head_status=400), "access_denied"),
    (ObjectFault("SignatureDoesNotMatch"), "access_denied"),
    (ObjectFault("KMS.DisabledException", 400, head_status=400), "kms_key_unavailable"),
    (ObjectFault("KMS.NotFoundException", 400, head_status=200), "kms_key_unavailable"),
    (ObjectFault("AccessDenied", 403, head_status=200), "access_denied"),
    (ObjectFault("NotImplemented", 501, head_status=403), "access_denied"),
    (ObjectFault("NotImplemented", 501, head_status=400), "access_denied"),
]


@pytest.fixture
def detector(made: Make, endpoint: Endpoint) -> DetectorSession:
    return made(LabelDetector, s3_endpoint_url=endpoint.url)


@pytest.mark.parametrize(("fault", "code"), REFUSALS, ids=str)
def test_one_object_is_to_blame_if_others_can_be_read(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored, fault: ObjectFault, code: str
) -> None:
    refused, other = stored("refused.png"), stored("other.png")
    endpoint.faults.objects["refused.png"] = fault
    for _ in range(5):
        [answer] = detector.detect([refused])
        assert isinstance(answer, ObjectRefusedError)
        assert "refused.png" in str(answer)
    assert isinstance(detector.detect([other])[0], Findings)
    [answer] = detector.detect([refused])
    assert isinstance(answer, InvalidImageError)
    assert (answer.code, answer.retryable) == (code, True)


@pytest.mark.parametrize(("fault", "code"), REFUSALS, ids=str)
def test_none_is_to_blame_if_all_are_refused(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored, fault: ObjectFault, code: str
) -> None:
    del code
    images = [stored(f"{number}.png") for number in range(4)]
    assert all(isinstance(detector.detect([image])[0], Findings) for image in images)
    endpoint.faults.objects |= {image.reference.key: fault for image in images}
    for image in images * 4:
        assert isinstance(detector.detect([image])[0], ObjectRefusedError)
    endpoint.faults.objects.clear()
    assert all(isinstance(detector.detect([image])[0], Findings) for image in images)


@pytest.mark.parametrize("tier", ["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"])
@pytest.mark.parametrize("restore", [None, 'ongoing-request="true"'])
def test_an_archive_tier_of_intelligent_tiering(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored, tier: str, restore: str | None
) -> None:
    headers = [("x-amz-storage-class", "INTELLIGENT_TIERING"), ("x-amz-archive-status", tier)]
    if restore is not None:
        headers.append(("x-amz-restore", restore))
    image = stored("old.png")
    endpoint.faults.objects["old.png"] = ObjectFault(
        "InvalidObjectState", head_status=200, headers=tuple(headers)
    )
    [answer] = detector.detect([image])
    assert isinstance(answer, InvalidImageError)
    assert (answer.code, answer.retryable) == ("object_archived", True)


def test_archived_as_get_alone_tells(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored
) -> None:
    image = stored("old.png")
    endpoint.faults.objects["old.png"] = ObjectFault("InvalidObjectState", head_status=403)
    [answer] = detector.detect([image])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "object_archived"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("ExpiredToken", DetectorNotReadyError), ("KMS.ThrottlingException", RetriableError)],
)
def test_what_only_get_can_tell_of_a_head_without_a_body(
    detector: DetectorSession,
    endpoint: Endpoint,
    stored: Stored,
    code: str,
    kind: type[Exception],
) -> None:
    refused = stored("refused.png")
    detector.detect([stored("other.png")])
    endpoint.faults.objects["refused.png"] = ObjectFault(code, 400, head_status=400)
    [answer] = detector.detect([refused])
    assert isinstance(answer, kind)
    assert not isinstance(answer, ObjectRefusedError)


def test_an_object_in_another_region_than_the_others(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored
) -> None:
    elsewhere = stored("elsewhere.png")
    endpoint.faults.fail_next("DetectLabels", Failure("InvalidS3ObjectException"))
    endpoint.faults.bucket_region = "eu-west-1"
    [answer] = detector.detect([elsewhere])
    assert isinstance(answer, ObjectRefusedError)
    assert "eu-west-1" in str(answer)


@pytest.mark.parametrize("permission", ["s3:GetObject", "kms:Decrypt"])
def test_a_permission_that_is_about_the_object_is_no_lost_right(
    detector: DetectorSession, endpoint: Endpoint, stored: Stored, permission: str
) -> None:
    message = f"User: arn:aws:sts::1:assumed-role/w is not authorized to perform: {permission}"
    refused = stored("refused.png")
    detector.detect([stored("other.png")])
    endpoint.faults.objects["refused.png"] = ObjectFault()
    endpoint.faults.fail_next("DetectLabels", Failure("AccessDeniedException", message))
    [answer] = detector.detect([refused])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "access_denied"


def test_a_reference_image_that_is_refused_blames_no_other(
    made: Make, endpoint: Endpoint, stored: Stored
) -> None:
    stored("ann.png")
    image = stored("image.png")
    detector = made(
        FaceCompareDetector,
        s3_endpoint_url=endpoint.url,
        reference_image=f"s3://{BUCKET}/ann.png",
    )
    assert isinstance(detector.detect([image])[0], Findings)
    endpoint.faults.objects["ann.png"] = ObjectFault()
    for _ in range(5):
        [answer] = detector.detect([image])
        assert isinstance(answer, DetectorNotReadyError)
        assert not isinstance(answer, ObjectRefusedError)


# A whole worker, by reference.


class Site(Rig):
    """Uploads are seen by Rekognition; S3 refuses keys that begin with ``refused``."""

    def __init__(self, history: History, url: str, cloud: Endpoint) -> None:
        super().__init__(history, MemoryQueue(), url)
        self.plugins = Plugins((POINT,))
        self.cloud = cloud
        self.options = {
            "rekognition-labels": {
                "endpoint_url": cloud.url,
                "s3_endpoint_url": cloud.url,
                "requests_per_second": 10_000,
            }
        }

    def upload_all(self, *names: str) -> None:
        for key in names:
            if key.startswith("refused"):
                self.cloud.faults.objects[key] = ObjectFault()
            self.upload(key, TWO_FACES)


@contextmanager
def cloud_of(found: Callable[[str], bool]) -> Iterator[Endpoint]:
    def source(bucket: str, key: str, version: str | None) -> StoredObject | None:
        return StoredObject(TWO_FACES) if found(key) else None

    with Endpoint(source=source) as endpoint:
        yield endpoint


@pytest.fixture
def site(history_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.02)
    monkeypatch.setattr("retinue_workers.limits.receive_gate.PROBE_SECONDS", 0.1)
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)
    pool = ConnectionPool(history_url)
    with cloud_of(lambda key: True) as cloud:
        yield Site(History(pool), history_url, cloud)
    pool.close()


NAME = "rekognition-labels"


@pytest.mark.parametrize("place", [0, 7, 29])
def test_a_refused_object_among_others(site: Site, place: int) -> None:
    names = keys(30)
    site.upload_all(*names[:place], "refused.png", *names[place:])
    site.work_off(site.options)
    assert site.outcomes(NAME) == ["access_denied"] + ["succeeded"] * 30


def test_refused_objects_alone_in_a_receive_before_and_after_others(site: Site) -> None:
    with site.running(site.options) as worker:
        site.upload_all("refused-first.png")
        eventually(lambda: "S3 refuses" in worker.worker.liveness.state()[1])
        site.upload_all(*keys(40))
        site.wait_until_empty()
        site.upload_all("refused-alone.png")
        site.wait_until_empty()
        site.upload_all(*keys(40, "later"))
        site.wait_until_empty()
        eventually(lambda: worker.worker.liveness.state() == (True, "healthy"))
    assert site.outcomes(NAME) == ["access_denied"] * 2 + ["succeeded"] * 80
    assert not any(line.startswith(("hide", "dead")) for line in site.queue.journal)


def test_a_role_that_lost_its_rights_burns_no_image(site: Site) -> None:
    with site.running(site.options) as worker:
        site.upload_all(*keys(10))
        site.wait_until_empty()
        late = keys(60, "late")
        site.cloud.faults.objects = {key: ObjectFault() for key in [*keys(10), *late]}
        site.upload_all(*late)
        eventually(lambda: "S3 refuses" in worker.worker.liveness.state()[1])
        before = site.cloud.errors["InvalidS3ObjectException"]
        eventually(lambda: site.cloud.errors["InvalidS3ObjectException"] > before + 200)
        site.cloud.faults.objects = {}
        site.wait_until_empty()
    assert site.outcomes(NAME) == ["succeeded"] * 70
    assert not any(line.startswith(("hide", "dead")) for line in site.queue.journal)
