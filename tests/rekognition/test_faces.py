"""Searching faces in a collection, and comparing them with a reference."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rekognition.conftest import ANN, BOB, BUCKET, EVE, TWO_FACES, Store, painting
from retinue_rekognition import collection
from retinue_rekognition.face_compare import FaceCompareDetector, FaceCompareOptions
from retinue_rekognition.face_search import FaceSearchDetector, FaceSearchOptions
from retinue_rekognition_emulator import Endpoint, Failure, StoredObject
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    RetriableError,
)

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]

ONE_FACE = painting((ANN, (40, 60, 160, 220)))
NO_FACE = painting()


@pytest.fixture
def people(rekognition: Any, store: Store) -> Callable[[], list[str]]:
    """Return a collection that knows Ann; gives the external image ids of all faces in it."""
    rekognition.create_collection(CollectionId="people")
    store["ann.png"] = StoredObject(ONE_FACE)
    where = {"S3Object": {"Bucket": BUCKET, "Name": "ann.png"}}
    rekognition.index_faces(CollectionId="people", Image=where, ExternalImageId="ann")

    def external_ids() -> list[str]:
        faces = rekognition.list_faces(CollectionId="people")["Faces"]
        return [face["ExternalImageId"] for face in faces]

    return external_ids


def named(findings: Findings) -> list[tuple[str, str]]:
    assert isinstance(findings, Findings), findings
    return [(detection.kind, detection.label) for detection in findings.detections]


def test_every_face_is_searched_by_reference_and_no_stranger_stays(
    made: Make, endpoint: Endpoint, people: Callable[[], list[str]], stored: Stored
) -> None:
    detector = made(FaceSearchDetector, collection_id="people")
    assert detector.detector.model_version == "7.0"
    [findings] = detector.detect([stored("two.png")])
    assert sorted(named(findings)) == [("face", "Face"), ("face", "Face"), ("face_match", "ann")]
    match = next(d for d in findings.detections if d.kind == "face_match")
    assert match.confidence == pytest.approx(0.999)
    assert match.box is not None
    assert match.box.left == pytest.approx(40 / 640)
    assert match.attributes["Face"]["ExternalImageId"] == "ann"
    assert findings.model_version == "7.0"
    assert findings.billed_units == 4  # DetectFaces, IndexFaces, SearchFaces twice
    assert people() == ["ann"]
    assert all("FaceId" not in d.attributes for d in findings.detections if d.kind == "face")


def test_one_face_is_searched_without_indexing(
    made: Make, endpoint: Endpoint, people: Callable[[], list[str]], stored: Stored
) -> None:
    detector = made(FaceSearchDetector, collection_id="people")
    endpoint.calls.clear()
    [findings] = detector.detect([stored("one.png", ONE_FACE)])
    assert named(findings) == [("face", "Face"), ("face_match", "ann")]
    assert dict(endpoint.calls) == {"DetectFaces": 1, "SearchFacesByImage": 1}
    [findings] = detector.detect([stored("none.png", NO_FACE)])
    assert named(findings) == []
    assert findings.billed_units == 1


def test_as_bytes_nothing_is_ever_written(
    made: Make, endpoint: Endpoint, people: Callable[[], list[str]]
) -> None:
    detector = made(FaceSearchDetector, collection_id="people", send="bytes")
    # Bob is larger than Ann and close to her: a wide crop of her holds him.
    close = painting((ANN, (300, 100, 360, 180)), (BOB, (370, 40, 540, 260)))
    for picture in (TWO_FACES, close):
        [findings] = detector.detect([Image.from_bytes(picture)])
        assert sorted(named(findings)) == [
            ("face", "Face"),
            ("face", "Face"),
            ("face_match", "ann"),
        ]
    assert endpoint.operations.collections.indexed == 1
    assert endpoint.calls["IndexFaces"] == 1  # the test's own


@pytest.mark.parametrize("remembers_images", [True, False])
def test_unknown_faces_are_kept_when_wanted_and_only_once(
    made: Make,
    endpoint: Endpoint,
    people: Callable[[], list[str]],
    stored: Stored,
    remembers_images: bool,
) -> None:
    endpoint.operations.collections.remembers_images = remembers_images
    detector = made(
        FaceSearchDetector, collection_id="people", index_unknown=True, consent="notice 7"
    )
    image = stored("two.png")
    kept = collection.kept_id(image.image_id)
    for _ in range(3):  # redelivered twice
        [findings] = detector.detect([image])
        assert sorted(named(findings)) == [
            ("face", "Face"),
            ("face", "Face"),
            ("face_match", "ann"),
        ]
        assert sorted(people()) == ["ann", kept]
    [stranger] = [d for d in findings.detections if "FaceId" in d.attributes]
    assert stranger.attributes["Consent"] == "notice 7"
    assert stranger.attributes["ExternalImageId"] == kept
    [findings] = detector.detect([stored("again.png", painting((BOB, (10, 10, 200, 200))))])
    assert ("face_match", kept) in named(findings)


@pytest.mark.parametrize("operation", ["SearchFaces", "DeleteFaces"])
def test_no_face_stays_when_something_fails(
    made: Make,
    endpoint: Endpoint,
    people: Callable[[], list[str]],
    stored: Stored,
    operation: str,
) -> None:
    detector = made(FaceSearchDetector, collection_id="people")
    endpoint.faults.fail_next(operation, Failure("ThrottlingException"))
    [answer] = detector.detect([stored("two.png")])
    assert isinstance(answer, RetriableError)
    [answer] = detector.detect([stored("two.png")])
    assert isinstance(answer, Findings)
    assert people() == ["ann"]


def test_what_a_dead_worker_left_is_swept_and_never_matches(
    made: Make,
    people: Callable[[], list[str]],
    stored: Stored,
    rekognition: Any,
    store: Store,
) -> None:
    store["bob.png"] = StoredObject(painting((BOB, (10, 10, 200, 200))))
    fresh = f"{collection.TEMPORARY}:{int(time.time())}:1"
    stale = f"{collection.TEMPORARY}:{int(time.time() - 3_600)}:2"
    for name in (fresh, stale):
        where = {"S3Object": {"Bucket": BUCKET, "Name": "bob.png"}}
        rekognition.index_faces(CollectionId="people", Image=where, ExternalImageId=name)
    detector = made(FaceSearchDetector, collection_id="people")
    assert sorted(people()) == ["ann", fresh]
    [findings] = detector.detect([stored("two.png")])
    assert [label for kind, label in named(findings) if kind == "face_match"] == ["ann"]


def test_how_a_search_is_sent_belongs_to_the_fingerprint() -> None:
    prints = {
        FaceSearchOptions(collection_id="c", send=send).fingerprint()
        for send in ("reference", "bytes")
    }
    assert len(prints) == 2


def test_a_collection_that_does_not_exist(made: Make) -> None:
    with pytest.raises(DetectorNotReadyError, match="'nobody' in us-east-1"):
        made(FaceSearchDetector, collection_id="nobody")


def test_a_collection_that_is_deleted_meanwhile(
    made: Make, endpoint: Endpoint, people: Callable[[], list[str]], stored: Stored
) -> None:
    detector = made(FaceSearchDetector, collection_id="people")
    endpoint.operations.collections.delete("people")
    for picture in (ONE_FACE, TWO_FACES):
        [answer] = detector.detect([stored("a.png", picture)])
        assert isinstance(answer, DetectorNotReadyError)


def test_an_object_that_goes_between_two_calls(
    made: Make, endpoint: Endpoint, people: Callable[[], list[str]], stored: Stored
) -> None:
    detector = made(FaceSearchDetector, collection_id="people")
    endpoint.faults.fail_next("SearchFacesByImage", Failure("InvalidS3ObjectException"))
    [answer] = detector.detect([stored("a.png", ONE_FACE)])
    assert isinstance(answer, RetriableError)  # S3 was asked, and is away in this test


@pytest.mark.parametrize("kind", ["file", "object"])
def test_compare_with_a_reference(
    made: Make, endpoint: Endpoint, stored: Stored, tmp_path: Path, kind: str
) -> None:
    stored("ann.png", ONE_FACE)
    (tmp_path / "ann.png").write_bytes(ONE_FACE)
    where = str(tmp_path / "ann.png") if kind == "file" else f"s3://{BUCKET}/ann.png"
    detector = made(FaceCompareDetector, reference_image=where)
    [findings] = detector.detect([stored("two.png")])
    assert named(findings) == [("face_match", "ann"), ("face", "Face")]
    assert findings.detections[0].confidence == pytest.approx(0.999)
    [findings] = detector.detect([stored("other.png", painting((EVE, (10, 10, 200, 200))))])
    assert named(findings) == [("face", "Face")]


def test_an_image_without_faces_has_no_matches(
    made: Make, endpoint: Endpoint, stored: Stored
) -> None:
    stored("ann.png", ONE_FACE)
    detector = made(FaceCompareDetector, reference_image=f"s3://{BUCKET}/ann.png")
    [findings] = detector.detect([stored("none.png", NO_FACE)])
    assert named(findings) == []
    [answer] = detector.detect([stored("tiny.png", painting(size=(60, 60)))])
    assert isinstance(answer, InvalidImageError)


def test_a_reference_that_loses_its_face_blames_no_image(made: Make, stored: Stored) -> None:
    stored("ann.png", ONE_FACE)
    detector = made(FaceCompareDetector, reference_image=f"s3://{BUCKET}/ann.png")
    stored("ann.png", NO_FACE)
    [answer] = detector.detect([stored("two.png")])
    assert isinstance(answer, DetectorNotReadyError)


def test_a_reference_that_cannot_work(made: Make, stored: Stored, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        made(FaceCompareDetector, reference_image=str(tmp_path / "missing.jpg"))
    with pytest.raises(ConfigurationError, match="names no object"):
        made(FaceCompareDetector, reference_image="s3://bucket")
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(ConfigurationError, match="JPEG and PNG"):
        made(FaceCompareDetector, reference_image=str(tmp_path / "a.gif"))
    stored("none.png", NO_FACE)
    with pytest.raises(ConfigurationError, match="no face"):
        made(FaceCompareDetector, reference_image=f"s3://{BUCKET}/none.png")


def test_another_reference_file_is_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "ann.png"
    prints = set()
    for picture in (ONE_FACE, TWO_FACES):
        path.write_bytes(picture)
        prints.add(FaceCompareDetector(FaceCompareOptions(reference_image=str(path))).fingerprint())
    assert len(prints) == 2


def test_no_face_stays_when_the_call_is_cancelled(
    endpoint: Endpoint,
    people: Callable[[], list[str]],
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled while Rekognition indexes the faces: they are deleted when the answer is there."""
    index = endpoint.operations.known["IndexFaces"]
    indexing, cancelled = Event(), Event()

    def slowly(request: dict[str, Any]) -> dict[str, Any]:
        answer = index(request)
        indexing.set()
        cancelled.wait(10)
        return answer

    monkeypatch.setitem(endpoint.operations.known, "IndexFaces", slowly)
    options = {"collection_id": "people", "endpoint_url": endpoint.url}
    detector = FaceSearchDetector(FaceSearchOptions.model_validate(options))

    async def cancel() -> None:
        await detector.start()
        call = asyncio.create_task(detector.detect(stored("two.png")))
        await asyncio.to_thread(indexing.wait, 10)
        assert len(people()) == 3
        call.cancel()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert people() == ["ann"]
        await detector.close()

    asyncio.run(cancel())
