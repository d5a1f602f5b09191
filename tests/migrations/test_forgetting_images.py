"""Forgetting images: every trace goes, others stay, nothing comes back, whatever interrupts it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fakes.command import run_retinue
from fakes.waiting import eventually
from psycopg import sql
from psycopg.rows import dict_row
from retinue_history import ConnectionPool, DetectionRecord, History, ImageRecord, RemovedObject
from retinue_history.privacy.image_erasure import ImageErasures
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import CORRECTIONS, findings_of, save_answer
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine

Make = Callable[..., Any]

CAT = DetectionRecord("label", "Cat", 0.9, None, encode_json({"Parents": ["Animal"]}))
SECRET = DetectionRecord("label", "Secret", 0.9, None, encode_json({"Parents": ["Hidden"]}))
READ = DetectionRecord("text", "Secret words", 0.9)


class Command:
    """``retinue forget`` on a history, and what that holds."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, code: int = 0) -> str:
        return run_retinue("forget", *arguments, exit_code=code).output

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()

    def keys(self) -> list[str]:
        return [row["key"] for row in self.rows("SELECT DISTINCT key FROM images ORDER BY 1")]

    def dump(self) -> str:
        """Return every row of every table, and what the planner remembers of them, as text."""
        tables = self.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND "
            "relnamespace = 'public'::regnamespace"
        )
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            everything = [
                connection.execute(sql.SQL("TABLE {}").format(sql.Identifier(table["relname"])))
                for table in tables
            ]
            everything.append(
                connection.execute("SELECT * FROM pg_stats WHERE schemaname = 'public'")
            )
            return json.dumps([rows.fetchall() for rows in everything], default=str)


@pytest.fixture
def forget(history_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    return Command(history_url)


@pytest.fixture
def filled(history_url: str, history: History, image: Make, run: Make) -> dict[str, ImageRecord]:
    """Record three images of Ann's in four versions, and two others that share some data."""
    images = {
        "a1": image("ann/a.jpg", version="v1"),
        "a2": image("ann/a.jpg", version="v2", sequencer="11"),
        "b": image("ann/b.jpg"),
        "cat": image("cat.jpg"),
        "elsewhere": image("ann/a.jpg", bucket="others"),
    }
    runs = []
    for name, each in images.items():
        secret = () if name in {"cat", "elsewhere"} else (SECRET, READ)
        raw = {"answer": "Secret"} if secret else {}
        runs.append(run(each, detections=(CAT, *secret), raw_response=encode_json(raw)))
        skip = {"outcome": "skipped", "saved_usd": 0, "retryable": True}
        runs.append(
            run(each, "e/skipped", detector="s", error_code="x", **{**skip, "error_message": "no"})
        )
        runs.append(run(each, detector="f", error_code="x"))
    removed = [RemovedObject("photos", "ann/b.jpg", "v1", "20", each.uploaded_at)]
    history.record(list(images.values()), runs, removed)
    with psycopg.connect(history_url, autocommit=True) as connection:
        for name in ("a1", "a2", "b"):
            image_id = images[name].image_id
            shown = findings_of(connection, image_id)
            items = tuple(AnswerItem.of("accept", one) for one in shown)
            answer = Answer((*items, AnswerItem("add", "label", "Secret")), exhaustive=True)
            save_answer(connection, CORRECTIONS, image_id, "ann", answer, key=uuid4())
        connection.execute("ANALYZE")
    return images


def check_counts(forget: Command) -> None:
    """Check that the daily counts match the detections, and that every label is used."""
    [off] = forget.rows("""
        SELECT count(*) AS number FROM (
            (SELECT CASE WHEN kind = 'text' THEN '' ELSE label END AS label, count(*)
            FROM detections GROUP BY 1)
            EXCEPT
            (SELECT label, sum(detections) FROM label_counts_daily GROUP BY 1)
        ) AS differences
    """)
    assert off["number"] == 0
    assert forget.rows("SELECT label FROM labels EXCEPT SELECT label FROM detections") == []
    assert forget.rows("SELECT label FROM label_parents EXCEPT SELECT label FROM detections") == []


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("--prefix", "s3://photos/ann/"), ["ann/a.jpg", "cat.jpg"]),
        (("--prefix", "s3://photos"), ["ann/a.jpg"]),
        (("--image", "s3://photos/ann/a.jpg"), ["ann/a.jpg", "ann/b.jpg", "cat.jpg"]),
        (("--image", "ann/a.jpg"), ["ann/b.jpg", "cat.jpg"]),
    ],
)
def test_every_trace_goes_and_others_stay(
    forget: Command, filled: dict[str, ImageRecord], arguments: tuple[str, ...], left: list[str]
) -> None:
    assert filled
    before = len(forget.dump())
    assert "history: " in forget(*arguments, "--dry-run")
    assert len(forget.dump()) == before
    said = forget(*arguments, "--yes")
    assert "verified: nothing is left" in said
    assert "objects stay in S3" in said
    assert forget.keys() == left
    check_counts(forget)
    if arguments[0] == "--prefix":
        assert "Secret" not in forget.dump()
        assert "Hidden" not in forget.dump()
        assert "b.jpg" not in forget.dump()
    [erasure] = forget.rows("SELECT * FROM erasures")
    assert erasure["completed_at"] is not None
    assert erasure["removed"]["runs"] == 3 * erasure["removed"]["images"]
    assert erasure["removed"]["truths"] == erasure["removed"]["answers"]
    assert forget.rows("SELECT image_id FROM audit_log EXCEPT SELECT image_id FROM images") == [
        {"image_id": None}
    ]
    assert "was forgotten on" in forget(*arguments, "--yes")
    assert len(forget.rows("SELECT 1 FROM erasures")) == 1


@pytest.mark.parametrize(
    "subject",
    [
        ("--prefix", "s3://photos/ann/"),
        ("--prefix", "s3://photos"),
        ("--image", "s3://photos/ann/b.jpg"),
        ("--image", "ann/b.jpg"),
    ],
)
def test_the_photo_that_a_face_was_taken_from_loses_its_name(
    forget: Command, filled: dict[str, ImageRecord], subject: tuple[str, ...]
) -> None:
    """The person, and the consent, stay: ``--person`` forgets those."""
    assert filled
    with psycopg.connect(forget.url) as connection:
        connection.execute(
            "INSERT INTO people (external_image_id, region, collection_id, name, consent)"
            " VALUES ('p', 'eu-west-1', 'staff', 'Ann', 'form 7')"
        )
        connection.execute(
            "INSERT INTO faces (face_id, person_id, consent, photo)"
            " SELECT face, person_id, 'form 7', photo FROM people, (VALUES"
            " ('1', 's3://photos/ann/b.jpg'), ('2', 's3://others/x.jpg'), ('3', 'b.jpg')"
            ") AS taken (face, photo)"
        )
        connection.execute("ANALYZE faces")
    forget(*subject, "--yes")
    photos = forget.rows("SELECT photo FROM faces ORDER BY face_id")
    assert [row["photo"] for row in photos] == [None, "s3://others/x.jpg", "b.jpg"]
    assert "ann/b.jpg" not in forget.dump()


def test_a_history_of_one_image_leaves_nothing_in_the_statistics(
    forget: Command, filled: dict[str, ImageRecord]
) -> None:
    assert filled
    assert "Secret" in forget.dump()
    for bucket in ("photos", "others"):
        forget("--prefix", f"s3://{bucket}", "--yes")
    said = forget.dump()
    assert not [word for word in ("Secret", "Cat", "Animal", "jpg", "photos") if word in said]


def test_one_version_is_forgotten_by_its_id(
    forget: Command, filled: dict[str, ImageRecord]
) -> None:
    forget("--image", str(filled["a1"].image_id), "--yes")
    left = forget.rows("SELECT version FROM images WHERE bucket = 'photos' AND key = 'ann/a.jpg'")
    assert left == [{"version": "v2"}]
    check_counts(forget)
    assert str(filled["a1"].image_id) not in forget.dump()


@pytest.mark.parametrize("by", ["id", "uri", "key", "prefix"])
def test_what_was_uploaded_before_stays_out_and_later_is_new(
    forget: Command, history: History, image: Make, run: Make, by: str
) -> None:
    old = image("ann/b.jpg", versioned=False)
    history.record([old], [run(old, detections=(CAT,))])
    names = {"id": str(old.image_id), "uri": "s3://photos/ann/b.jpg", "key": "ann/b.jpg"}
    subject = ("--image", names[by]) if by in names else ("--prefix", "s3://photos/ann/")
    forget(*subject, "--yes")
    # A worker that was at work, a redelivery, a replay, and S3's word that the object is gone.
    assert history.done_and_erased([], [old, image("cat.jpg")]) == (set(), {old.image_id})
    gone = RemovedObject("photos", "ann/b.jpg", old.version, "99", datetime.now(UTC))
    assert history.record([old], [run(old, "replay:1", detections=(SECRET,))], [gone]) == {}
    assert "b.jpg" not in forget.dump()
    assert "Secret" not in forget.dump()
    # The same bytes are uploaded again, and sighted together with the old news.
    new = image(
        "ann/b.jpg",
        versioned=False,
        sequencer="A0",
        uploaded_at=datetime.now(UTC) + timedelta(seconds=1),
    )
    assert history.done_and_erased([], [new]) == (set(), set())
    assert history.record([old, new], [run(new, "event 2", detections=(CAT,))])
    [row] = forget.rows("SELECT uploaded_at, last_uploaded_at, deleted_at FROM images")
    assert (row["uploaded_at"], row["deleted_at"]) == (row["last_uploaded_at"], None)
    check_counts(forget)


def test_what_is_lifted_may_come_back(
    forget: Command, history: History, filled: dict[str, ImageRecord], run: Make
) -> None:
    subject = ("--prefix", "s3://photos/ann/")
    assert "isn't forbidden" in forget(*subject, "--allow-again")
    forget(*subject, "--yes")
    assert "may be recorded again" in forget(*subject, "--allow-again")
    assert history.record([filled["b"]], [run(filled["b"], detections=(CAT,))])


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("open", True),
        ("wait_for_writers", True),
        ("erase", False),
        ("erase", True),
        ("close", False),
    ],
)
def test_forgetting_goes_on_after_a_crash(
    forget: Command,
    filled: dict[str, ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
) -> None:
    assert filled
    monkeypatch.setattr("retinue_history.privacy.image_erasure.BATCH_IMAGES", 1)
    real = getattr(ImageErasures, step)

    def crash(*arguments: Any) -> Any:
        if after:
            answer = real(*arguments)
            if step == "erase":
                next(answer)  # one batch is committed
                answer.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(ImageErasures, step, crash)
        forget("--prefix", "s3://photos/ann/", "--yes", code=130)
    if step != "close":
        assert "isn't completely forgotten" in forget(
            "--prefix", "s3://photos/ann/", "--allow-again", code=1
        )
    assert "continues an interrupted erasure" in forget("--prefix", "s3://photos/ann/", "--yes")
    assert forget.keys() == ["ann/a.jpg", "cat.jpg"]
    check_counts(forget)
    assert "Secret" not in forget.dump()
    [erasure] = forget.rows("SELECT * FROM erasures")
    assert erasure["completed_at"] is not None
    assert (erasure["removed"]["images"], erasure["removed"]["detections"]) == (3, 9)


def test_a_writer_that_had_begun_is_waited_for(
    forget: Command, filled: dict[str, ImageRecord], history_url: str
) -> None:
    """It wrote just before it was forbidden, and commits just after."""
    row = "gen_random_uuid()"
    assert filled
    with psycopg.connect(history_url) as writer, ThreadPoolExecutor(1) as threads:
        writer.execute(
            "INSERT INTO images (image_id, bucket, key, version, versioned, uploaded_at,"
            " last_uploaded_at) SELECT image_id('photos', 'ann/late.jpg', v), 'photos',"
            f" 'ann/late.jpg', v, true, now(), now() FROM (SELECT {row}::text AS v) AS one"
        )
        forgotten = threads.submit(forget, "--prefix", "s3://photos/ann/", "--yes")
        eventually(lambda: forget.rows("SELECT 1 FROM erased_images"), what="it to be forbidden")
        assert not forgotten.done()
        writer.commit()
        forgotten.result()
    assert "late" not in forget.dump()


def test_a_worker_needs_no_right_to_see_what_was_forgotten(
    forget: Command, filled: dict[str, ImageRecord], run: Make
) -> None:
    forget("--prefix", "s3://photos/ann/", "--yes")
    pool = ConnectionPool(f"{forget.url}&options=-c%20role%3Dretinue_writer")
    writer = History(pool)
    assert writer.done_and_erased([], [filled["b"]]) == (set(), {filled["b"].image_id})
    assert writer.record([filled["b"]], [run(filled["b"], "again", detections=(CAT,))]) == {}
    pool.close()
    with psycopg.connect(forget.url) as connection:
        connection.execute("SET ROLE retinue_writer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM erased_images")


def test_what_is_refused(forget: Command, filled: dict[str, ImageRecord]) -> None:
    assert "exactly one of" in forget(code=2)
    assert "exactly one of" in forget("--image", "a", "--person", "b", code=2)
    assert "s3://bucket/prefix" in forget("--prefix", "ann/", code=2)
    assert "names no image" in forget("--image", "s3://photos/", code=2)
    assert "faces index" in forget("--person", "Ann", "--allow-again", code=2)
    assert "need --person" in forget("--image", "a", "--collection", "staff", code=2)
    forget("--image", "cat.jpg", code=1)  # nobody says yes
    for arguments in (("--image", "nosuch"), ("--prefix", "s3://photos/nosuch")):
        assert "the history has no data of" in forget(*arguments, "--yes", code=2)
    assert forget.rows("SELECT * FROM erasures") == []


def test_images_are_deleted_by_index(
    forget: Command, engine: Engine, filled: dict[str, ImageRecord]
) -> None:
    """A batch must not read the whole of a table, however old the statistics are."""
    from retinue_history.privacy import image_deletion

    assert engine
    ids = f"'{{{filled['b'].image_id}}}'"
    with psycopg.connect(forget.url) as connection:
        connection.execute("SET enable_seqscan = off")
        for statement in (image_deletion._DETECTIONS, image_deletion._RUNS):
            sql = str(statement).replace(":ids", ids)
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
            assert "Seq Scan" not in plan, plan


def test_a_forgotten_reviewers_answers_stay_under_another_name(
    forget: Command, filled: dict[str, ImageRecord]
) -> None:
    login = "zoe@example.com"
    with psycopg.connect(forget.url, autocommit=True) as connection:
        for name in ("a1", "cat"):
            image_id = filled[name].image_id
            found = findings_of(connection, image_id)
            answer = Answer(tuple(AnswerItem.of("accept", one) for one in found), exhaustive=True)
            save_answer(connection, CORRECTIONS, image_id, login, answer, key=uuid4())
        connection.execute(
            "INSERT INTO review_leases (queue_id, image_id, person, expires_at)"
            " SELECT queue_id, image_id, %s, now() FROM review_images LIMIT 1",
            [login],
        )
        connection.execute("ANALYZE")
    digests = "SELECT encode(digest, 'hex') AS digest FROM answers"
    before, guesses = forget.dump(), forget.rows(digests)
    assert "2 answers, 0 queues, 1 lease" in forget("--reviewer", login, "--dry-run")
    assert forget.dump() == before
    said = forget("--reviewer", login, "--yes")
    assert login not in forget.dump()
    [standing] = forget.rows(
        "SELECT person, count(*) FROM standing_answers WHERE person <> 'ann' GROUP BY person"
    )
    assert standing["count"] == 2
    assert standing["person"] in said
    assert len([one for one in forget.rows(digests) if one in guesses]) == len(guesses) - 2
    [noted] = forget.rows("SELECT person FROM audit_log WHERE act = 'reviewer_forgotten'")
    assert noted["person"] == standing["person"]
    assert "has the login" in forget("--reviewer", login, "--yes", code=1)
