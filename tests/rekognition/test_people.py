"""``retinue faces`` on the endpoint and a real history: enrol, find, forget, whatever fails."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from click.testing import CliRunner
from fakes.bare_mp4 import mp4
from fakes.command import run_retinue
from fakes.rig import Rig
from fakes.waiting import eventually
from psycopg.rows import dict_row
from rekognition.conftest import ANN, BOB, EVE, painting
from retinue_cli.app import retinue as retinue_command
from retinue_cli.faces import forget as forgetting
from retinue_cli.faces.service import IAM_ACTIONS
from retinue_history import ConnectionPool, History, Jobs
from retinue_history.privacy.erasure import Erasures, PersonNames
from retinue_rekognition_emulator import Endpoint, Failure, StoredObject
from retinue_rekognition_emulator.video.objects import videos_of
from retinue_sdk.plugins.manager import Plugins
from sqlalchemy import Engine

POINT = EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue")
LEFT, RIGHT = (40, 60, 160, 220), (400, 100, 500, 230)
ANN_ALONE, BOTH = painting((ANN, LEFT)), painting((ANN, LEFT), (BOB, RIGHT))


class Cloud:
    """The endpoint, the history, and ``retinue faces`` on both."""

    def __init__(self, endpoint: Endpoint, client: Any, url: str, folder: Path) -> None:
        self.endpoint, self.client, self.url, self.folder = endpoint, client, url, folder

    def __call__(self, *arguments: str, code: int = 0) -> str:
        return run_retinue("faces", *arguments, exit_code=code).output

    def photo(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(sql).fetchall()

    def stored(self, collection: str = "staff") -> list[str | None]:
        faces = self.client.list_faces(CollectionId=collection)["Faces"]
        return sorted(face.get("ExternalImageId") for face in faces)

    def dump(self) -> str:
        """Return every row of every table, as text."""
        tables = self.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND "
            "relnamespace = 'public'::regnamespace"
        )
        return json.dumps([self.rows(f"SELECT * FROM {t['relname']}") for t in tables], default=str)


@pytest.fixture
def cloud(
    endpoint: Endpoint,
    rekognition: Any,
    history_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Cloud:
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", endpoint.url)
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    cloud = Cloud(endpoint, rekognition, history_url, tmp_path)
    cloud("create", "staff")
    return cloud


@pytest.fixture
def worked(cloud: Cloud, pool: ConnectionPool, store: dict[str, Any]) -> Callable[..., Rig]:
    """Enrols Ann and Bob, and lets a real worker look for them in a picture of both."""

    def work(keys: tuple[str, ...] = ("both.png",), bucket: str = "images") -> Rig:
        cloud("index", "staff", "Ann Lee", cloud.photo("ann.png", ANN_ALONE), "--consent", "form 7")
        bob = cloud.photo("bob.png", painting((BOB, RIGHT)))
        cloud("index", "staff", "Bob", bob, "--consent", "form 8")
        rig = Rig(History(pool), url=cloud.url)
        rig.plugins = Plugins((POINT,))
        cloud.endpoint.operations.source = lambda *_: StoredObject(BOTH)
        for key in keys:
            rig.upload(key, BOTH)
        rig.work_off(searching(cloud.endpoint))
        return rig

    return work


def searching(endpoint: Endpoint) -> dict[str, Any]:
    options = {"endpoint_url": endpoint.url, "requests_per_second": 1_000}
    return {"rekognition-face-search": {**options, "collection_id": "staff"}}


def labels(cloud: Cloud) -> list[str]:
    return [
        row["label"]
        for row in cloud.rows("SELECT label FROM detections WHERE kind = 'face_match' ORDER BY 1")
    ]


def test_a_person_is_enrolled_found_and_listed(cloud: Cloud) -> None:
    said = cloud(
        "index", "staff", "Zoë Ann", cloud.photo("a.png", ANN_ALONE), "--consent", " form 7 "
    )
    assert "1 of 1 photos are in staff" in said
    assert cloud.stored() == ["person:Zo:c3:ab_Ann"]
    assert "Zoë Ann  1 face  person:Zo:c3:ab_Ann  consent: form 7" in cloud("list", "staff")
    assert "staff  1 face" in cloud("list")
    said = cloud("search", "staff", cloud.photo("both.png", BOTH))
    assert re.search(r"face 1: Zoë Ann  0\.999", said)
    assert "face 2: no match" in said
    [face] = cloud.rows("SELECT * FROM faces JOIN people USING (person_id)")
    assert (face["photo"], face["model_version"]) == ("a.png", "7.0")
    assert len(cloud.stored()) == 1  # searching stores nothing


def test_the_consent_is_asked_for(cloud: Cloud) -> None:
    photo = cloud.photo("a.png", ANN_ALONE)
    assert "--consent" in cloud("index", "staff", "Ann", photo, code=2)
    assert "consent" in cloud("index", "staff", "Ann", photo, "--consent", "  ", code=1)
    assert cloud.stored() == []
    assert cloud.rows("SELECT 1 FROM people") == []


def test_of_several_faces_one_must_be_named(cloud: Cloud) -> None:
    photo = cloud.photo("both.png", BOTH)
    said = cloud("index", "staff", "Bob", photo, "--consent", "x", code=1)
    assert "has 2 faces" in said
    assert "--face 2: 62% from the left" in said
    assert cloud.stored() == []
    assert cloud.rows("SELECT 1 FROM people") == []
    cloud("index", "staff", "Bob", photo, "--consent", "x", "--face", "2")
    assert cloud.stored() == ["person:Bob"]
    assert "face 2: Bob" in cloud("search", "staff", photo)  # the smaller one, and not Ann
    assert "no face 3" in cloud(
        "index", "staff", "B", photo, "--consent", "x", "--face", "3", code=1
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("index", "nowhere", "Ann", "ann.png", "--consent", "x"), "no collection 'nowhere'"),
        (("index", "staff", "Ann", "none.png", "--consent", "x"), "no face"),
        (("index", "staff", "Ann", "text.jpg", "--consent", "x"), "isn't a photo"),
        (("index", "staff", "Ann", "missing.jpg", "--consent", "x"), "cannot be read"),
        (("index", "staff", "A\x01", "ann.png", "--consent", "x"), "control characters"),
        (("search", "nowhere", "ann.png"), "no collection 'nowhere'"),
        (("create", "staff"), "exists"),
        (("delete", "nowhere", "--yes"), "no collection 'nowhere'"),
        (("forget", "Nobody", "--yes"), "check the spelling"),
    ],
)
def test_what_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    cloud.photo("ann.png", ANN_ALONE)
    cloud.photo("none.png", painting())
    cloud.photo("text.jpg", b"no image")
    monkeypatch.chdir(cloud.folder)
    assert says in cloud(*arguments, code=1)
    assert cloud.stored() == []


def test_a_person_is_forgotten_everywhere_and_others_stay(
    cloud: Cloud, worked: Callable[..., Rig], engine: Engine
) -> None:
    worked(("both.png", "again.png"))
    named = Erasures(engine).images(PersonNames(frozenset({"person:Ann_Lee"})))
    assert sorted(named.values()) == ["again.png", "both.png"]
    assert Erasures(engine).images(PersonNames(frozenset({"person:Eve"}))) == {}
    assert labels(cloud) == ["person:Ann_Lee"] * 2 + ["person:Bob"] * 2
    [ann] = cloud.rows("SELECT face_id FROM faces JOIN people USING (person_id) WHERE name ~ 'Ann'")
    assert cloud.dump().count(ann["face_id"]) > 2

    plan = cloud("forget", "Ann Lee", "--dry-run")
    assert "1 face vectors" in plan
    assert "2 detections, parts of 2 raw responses" in plan
    assert cloud.stored() == ["person:Ann_Lee", "person:Bob"]

    said = cloud("forget", "Ann Lee", "--yes")
    assert "verified" in said
    assert "1 face vectors, 2 detections, 2 parts of raw responses, 1 enrolments" in said
    assert cloud.stored() == ["person:Bob"]
    assert labels(cloud) == ["person:Bob"] * 2
    left = cloud.dump()
    assert ann["face_id"] not in left
    assert "Ann" not in left
    runs = cloud.rows("SELECT detection_count, erased_at, raw_response FROM runs")
    assert [run["detection_count"] for run in runs] == [3, 3]  # two faces, and Bob
    assert all(run["erased_at"] for run in runs)
    assert all("person:Bob" in json.dumps(run["raw_response"]) for run in runs)
    [erasure] = cloud.rows("SELECT * FROM erasures")
    assert erasure["removed"] == {
        "face_vectors": 1, "detections": 2, "runs": 2, "people": 1, "faces": 1,
    }  # fmt: skip
    assert "was forgotten on" in cloud("forget", "Ann Lee", "--yes")
    again = CliRunner().invoke(retinue_command, ["faces", "forget", "Ann Lee", "--yes", "--json"])
    assert json.loads(again.stdout)["removed"] == erasure["removed"]
    assert len(cloud.rows("SELECT 1 FROM erasures")) == 1


def test_a_person_is_forgotten_in_the_archive(
    cloud: Cloud, worked: Callable[..., Rig], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked()
    [ann] = cloud.rows("SELECT face_id FROM faces JOIN people USING (person_id) WHERE name ~ 'Ann'")
    archive = cloud.folder / "archive"
    monkeypatch.setenv("RETINUE_ARCHIVE", str(archive))
    monkeypatch.setenv("RETINUE_RETENTION_DETECTIONS_MONTHS", "1")
    with psycopg.connect(cloud.url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE runs SET started_at = started_at - interval '3 months'")
        connection.execute("UPDATE detections SET detected_at = detected_at - interval '3 months'")
    done = CliRunner().invoke(retinue_command, ["maintain"])
    assert done.exit_code == 0, done.output
    assert labels(cloud) == []

    def archived() -> str:
        files = [str(file) for file in archive.rglob("*.parquet")]
        with closing(duckdb.connect()) as connection:
            texts = connection.execute("SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?)", [files])
            return repr(texts.fetchall())

    assert "person:Ann_Lee" in archived()
    assert ann["face_id"] in archived()
    assert "archive: 1 detections" in cloud("forget", "Ann Lee", "--dry-run")
    assert "verified: nothing is left in the archive" in cloud("forget", "Ann Lee", "--yes")
    assert "Ann" not in archived()
    assert ann["face_id"] not in archived()
    assert "person:Bob" in archived()
    [erasure] = cloud.rows("SELECT * FROM erasures")
    assert erasure["removed"]["archived_detections"] == 1


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("open", True),
        ("wait_for_writers", True),
        ("add", False),  # the vectors are gone, and nothing else is
        ("erase", True),
        ("close", False),
        ("close", True),
    ],
)
def test_forgetting_goes_on_after_a_crash(
    cloud: Cloud,
    worked: Callable[..., Rig],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
) -> None:
    worked()
    real = getattr(Erasures, step)

    def crash(*arguments: Any, **named: Any) -> Any:
        if after:
            answer = real(*arguments, **named)
            if step == "erase":
                next(iter(answer))  # one batch is committed
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Erasures, step, crash)
        cloud("forget", "Ann Lee", "--yes", code=130)
    done = after and step == "close"
    assert ("was forgotten" in cloud("forget", "Ann Lee", "--yes")) == done
    assert cloud.stored() == ["person:Bob"]
    assert labels(cloud) == ["person:Bob"]
    assert "Ann" not in cloud.dump()
    [erasure] = cloud.rows("SELECT * FROM erasures")
    assert erasure["completed_at"] is not None
    assert (erasure["removed"]["detections"], erasure["removed"]["runs"]) == (1, 1)


def test_forgetting_goes_on_after_the_service_refused(
    cloud: Cloud, worked: Callable[..., Rig]
) -> None:
    worked()
    cloud.endpoint.faults.fail_next("DeleteFaces", Failure("AccessDeniedException"))
    assert "AccessDenied" in cloud("forget", "Ann Lee", "--yes", code=1)
    photo = cloud.photo("ann.png", ANN_ALONE)
    said = cloud("index", "staff", "Ann Lee", photo, "--consent", "x", code=1)
    assert "isn't completely forgotten" in said
    assert "continues an interrupted erasure" in cloud("forget", "Ann Lee", "--yes")
    assert cloud.stored() == ["person:Bob"]


def test_a_worker_at_work_does_not_bring_a_person_back(
    cloud: Cloud, worked: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer was there before the face was deleted, and is committed after it."""
    rig = worked()
    ann = cloud.client.list_faces(CollectionId="staff")["Faces"][0]
    assert ann["ExternalImageId"] == "person:Ann_Lee"
    recorded, held = rig.history.record, []

    def hold(*arguments: Any, **named: Any) -> Any:
        if not held:
            held.append("waiting")
            cloud("forget", "Ann Lee", "--yes")
        return recorded(*arguments, **named)

    monkeypatch.setattr(rig.history, "record", hold)
    rig.upload("late.png", BOTH)
    rig.work_off(searching(cloud.endpoint))
    assert held
    assert labels(cloud) == ["person:Bob"] * 2
    assert "Ann" not in cloud.dump()
    assert ann["FaceId"] not in cloud.dump()
    runs = cloud.rows("SELECT detection_count, erased_at FROM runs")
    assert [(run["detection_count"], bool(run["erased_at"])) for run in runs] == [(3, True)] * 2


def test_a_job_on_a_video_does_not_bring_a_person_back(
    cloud: Cloud, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result has a match with the person, who was forgotten while it was under way."""
    video, clip = cloud.endpoint.operations.video, mp4(frames=3_000)
    monkeypatch.setattr(video, "_source", videos_of(lambda *_: StoredObject(clip)))
    video.jobs.clock = lambda: 1_800_000_000.0
    cloud("index", "staff", "Ann Lee", cloud.photo("ann.png", ANN_ALONE), "--consent", "form 7")
    [ann] = cloud.client.list_faces(CollectionId="staff")["Faces"]
    rig = Rig(History(pool), url=cloud.url, jobs=Jobs(pool))
    rig.plugins = Plugins((POINT,))
    [options] = searching(cloud.endpoint).values()
    with rig.running({"rekognition-video-face-search": options}):
        for number, key in enumerate(("before.mp4", "during.mp4"), start=1):
            rig.upload(key, clip)
            eventually(
                lambda number=number: video.jobs.started.get("FaceSearch") == number,
                what="a job to start",
            )
            if key == "during.mp4":
                assert set(labels(cloud)) == {"person:Ann_Lee"}
                cloud("forget", "Ann Lee", "--yes")
                assert labels(cloud) == []
            video.jobs.advance(10)
            eventually(lambda number=number: len(rig.runs()) == number, what="its run")
    assert labels(cloud) == []
    assert "Ann" not in cloud.dump()
    assert ann["FaceId"] not in cloud.dump()
    runs = cloud.rows(
        "SELECT erased_at, detection_count, "
        "(SELECT count(*) FROM detections WHERE detections.run_id = runs.run_id) AS rows FROM runs"
    )
    assert all(run["erased_at"] and run["detection_count"] == run["rows"] > 0 for run in runs)


def test_a_transaction_that_had_begun_is_waited_for(
    cloud: Cloud, worked: Callable[..., Rig], engine: Engine
) -> None:
    """A writer looked at the forbidden names just before they were written: it must end first."""
    from concurrent.futures import ThreadPoolExecutor

    worked()
    copied = ", ".join(["image_id", "kind", "label", "confidence", "attributes", "detected_at"])
    with psycopg.connect(cloud.url) as writer, ThreadPoolExecutor(1) as threads:
        writer.execute(
            f"INSERT INTO detections (run_id, ordinal, {copied}) "
            f"SELECT run_id, 99, {copied} FROM detections WHERE label = 'person:Ann_Lee'"
        )
        forgotten = threads.submit(cloud, "forget", "Ann Lee", "--yes")
        eventually(
            lambda: cloud.rows(
                "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
            ),
            what="forget to wait for the writer",
        )
        assert not forgotten.done()
        writer.commit()
        assert "2 detections" in forgotten.result()
    assert "Ann" not in cloud.dump()


def test_who_consents_again_is_known_again(cloud: Cloud, worked: Callable[..., Rig]) -> None:
    rig = worked()
    cloud("forget", "Ann Lee", "--yes")
    cloud("index", "staff", "Ann Lee", str(cloud.folder / "ann.png"), "--consent", "form 9")
    rig.upload("new.png", BOTH)
    rig.work_off(searching(cloud.endpoint))
    assert labels(cloud) == ["person:Ann_Lee", "person:Bob", "person:Bob"]
    assert "consent: form 9" in cloud("list", "staff")


def test_faces_that_only_the_collection_knows(cloud: Cloud, store: Any) -> None:
    """Indexed by a crash, another program, or a detector that keeps strangers."""
    for name in ("person:Ann", "retinue:1", "retinue:2"):
        picture = painting((EVE if name == "retinue:2" else ANN, LEFT))
        cloud.client.index_faces(
            CollectionId="staff", Image={"Bytes": picture}, ExternalImageId=name
        )
    assert "(not enrolled here)  1 face  retinue:1" in cloud("list", "staff")
    cloud("forget", "Ann", "--yes", code=1)  # nobody said where to look
    cloud("forget", "Ann", "--collection", "staff", "--yes")
    assert cloud.stored() == ["retinue:1", "retinue:2"]
    cloud("forget", "--external-image-id", "retinue:1", "--collection", "staff", "--yes")
    assert cloud.stored() == ["retinue:2"]
    face_id = cloud.client.list_faces(CollectionId="staff")["Faces"][0]["FaceId"]
    cloud("forget", "--face-id", face_id, "--collection", "staff", "--yes")
    assert cloud.stored() == []
    kinds = [row["subject_kind"] for row in cloud.rows("SELECT * FROM erasures ORDER BY 1")]
    assert kinds == ["person", "external_image_id", "face_id"]


def test_what_comes_back_is_removed_again_until_it_is_told(
    cloud: Cloud, worked: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked()
    real, times = forgetting.FaceService.delete_faces, []

    def and_index_again(service: Any, collection: str, face_ids: Any) -> int:
        gone = real(service, collection, face_ids)
        if len(times) < limit:
            times.append(1)
            service.index(collection, ANN_ALONE, "person:Ann_Lee")
        return gone

    monkeypatch.setattr(forgetting.FaceService, "delete_faces", and_index_again)
    limit = 99
    assert "keeps storing Ann Lee" in cloud("forget", "Ann Lee", "--yes", code=1)
    limit = len(times) + 1
    assert "verified" in cloud("forget", "Ann Lee", "--yes")
    assert cloud.stored() == ["person:Bob"]


def test_a_collection_with_people_is_not_deleted_by_mistake(
    cloud: Cloud, worked: Callable[..., Rig]
) -> None:
    worked()
    assert "2 people and 2 faces" in cloud("delete", "staff", "--yes", code=1)
    cloud("delete", "staff", "--with-people", "--yes")
    assert "no collection" in cloud("list")
    assert cloud.rows("SELECT 1 FROM people") == []
    assert len(labels(cloud)) == 2
    # Not enrolled any more, and still to be found in the history.
    assert "forgot Ann Lee: 1 detections" in cloud("forget", "Ann Lee", "--yes")


def test_matches_of_a_comparison_are_forgotten_by_name(cloud: Cloud, pool: ConnectionPool) -> None:
    from retinue_rekognition_emulator import StoredObject

    options = {
        "endpoint_url": cloud.endpoint.url,
        "requests_per_second": 1_000,
        "reference_image": cloud.photo("ann.png", ANN_ALONE),
        "person": "Ann Lee",
    }
    rig = Rig(History(pool), url=cloud.url)
    rig.plugins = Plugins((POINT,))
    cloud.endpoint.operations.source = lambda *_: StoredObject(BOTH)
    rig.upload("both.png", BOTH)
    rig.work_off({"rekognition-face-compare": options})
    assert labels(cloud) == ["Ann Lee"]
    cloud("forget", "Ann Lee", "--yes")
    rig.upload("next.png", BOTH)  # the worker was not told: the history refuses the name
    rig.work_off({"rekognition-face-compare": options})
    assert labels(cloud) == []
    for run in cloud.rows("SELECT * FROM runs"):
        assert run["raw_response"].keys() == {"UnmatchedFaces", "ResponseMetadata"}
        assert run["detection_count"] == 1


@pytest.mark.parametrize("role", ["retinue_writer", "retinue_reader"])
@pytest.mark.parametrize("table", ["people", "faces", "erased_names", "erasure_salt"])
def test_neither_workers_nor_analysts_see_people(history_url: str, role: str, table: str) -> None:
    with psycopg.connect(history_url) as connection:
        connection.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT * FROM {table}")


def test_workers_may_not_delete(history_url: str) -> None:
    for table in ("runs", "detections", "images", "erasures"):
        with psycopg.connect(history_url) as connection:
            connection.execute("SET ROLE retinue_writer")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"DELETE FROM {table}")


def test_names_are_found_by_index(cloud: Cloud, engine: Engine) -> None:
    """With everything else forbidden to the planner, an index must be able to answer."""
    from retinue_history.privacy import erasure

    with psycopg.connect(cloud.url) as connection:
        connection.execute("SET enable_seqscan = off")
        for statement in (erasure._DOOMED, erasure._NAMING_RUNS):
            sql = statement.replace(":ids", "'{a}'").replace(":labels", "'{a}'")
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
            assert "Seq Scan" not in plan, plan


def test_the_audit_tells_no_names(cloud: Cloud, worked: Callable[..., Rig], engine: Engine) -> None:
    import hashlib

    worked()
    cloud("forget", "Ann Lee", "--yes")
    digests = {bytes(row["digest"]) for row in cloud.rows("SELECT digest FROM erased_names")}
    guesses = {hashlib.sha256(name.encode()).digest() for name in ("Ann Lee", "person:Ann_Lee")}
    assert len(digests) == 3  # the name, the external image id, the face id
    assert not digests & guesses
    assert Erasures(engine).count(PersonNames(frozenset({"person:Ann_Lee"}))) == (0, 0)


def test_the_calls_are_those_that_an_operator_is_allowed(cloud: Cloud) -> None:
    photo = cloud.photo("ann.png", ANN_ALONE)
    cloud.endpoint.calls.clear()
    cloud("create", "others")
    cloud("index", "others", "Ann", photo, "--consent", "x")
    cloud("list")
    cloud("list", "others")
    cloud("search", "others", photo)
    cloud("forget", "Ann", "--yes")
    cloud("delete", "others", "--yes")
    assert {f"rekognition:{name}" for name in cloud.endpoint.calls} == IAM_ACTIONS


def test_a_worker_needs_no_right_to_see_who_was_forgotten(
    cloud: Cloud, worked: Callable[..., Rig]
) -> None:
    """The rows are kept out with the owner's rights; the writer's are enough for the rest."""
    worked()
    cloud("forget", "Ann Lee", "--yes")
    writer = ConnectionPool(f"{cloud.url}&options=-c%20role%3Dretinue_writer")
    rig = Rig(History(writer), url=cloud.url)
    rig.plugins = Plugins((POINT,))
    rig.upload("later.png", BOTH)
    cloud.client.index_faces(
        CollectionId="staff", Image={"Bytes": ANN_ALONE}, ExternalImageId="person:Ann_Lee"
    )
    rig.work_off(searching(cloud.endpoint))
    writer.close()
    assert labels(cloud) == ["person:Bob"] * 2
    assert "Ann" not in cloud.dump()
