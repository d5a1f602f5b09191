"""A person who was forgotten is in no answer and no truth, and gets into none again."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from retinue_history import ConnectionPool, History, ImageRecord
from retinue_history.db.connections import Connection
from retinue_history.privacy.erasure import Erasures, PersonNames
from retinue_history.review.answer import Answer, AnswerItem, Shown
from retinue_history.review.answers import CORRECTIONS, save_answer
from retinue_history.review.truth import Scope
from retinue_history.upkeep.maintenance import Retention, maintain
from retinue_sdk import ImageReference
from sqlalchemy import Engine

NAMES = PersonNames(frozenset({"face-1", "ann-x7"}), frozenset({"Ann"}))
LEFT = (0.1, 0.1, 0.3, 0.3)


@pytest.fixture
def record(pool: ConnectionPool) -> Callable[[str], UUID]:
    """Records an image."""

    def make(key: str) -> UUID:
        reference = ImageReference("photos", key, version_id="v1")
        History(pool).record(
            [
                ImageRecord(
                    reference.image_id, "photos", key, "v1", versioned=True,
                    uploaded_at=datetime.now(UTC),
                )
            ]
        )  # fmt: skip
        return reference.image_id

    return make


def everything(owner: Connection) -> str:
    """Every row of the reviews, as text."""
    tables = ("truths", "truth_items", "review_queues", "answers", "answer_items", "audit_log")
    return "\n".join(str(owner.execute(f"TABLE {table}").fetchall()) for table in tables)


def matched(label: str, face: str) -> Shown:
    attributes = {"Face": {"FaceId": face}}
    return Shown(1, 1, "faces", "1", None, "face_match", label, 0.9, LEFT, attributes)


def test_what_names_a_person_goes_and_stays_out(
    engine: Engine, owner: Connection, record: Callable[[str], UUID]
) -> None:
    image = record("1.jpg")
    ann, bob = matched("Ann", "face-1"), matched("Bob", "face-2")
    answer = Answer(
        (
            AnswerItem.of("accept", ann),
            AnswerItem("change", "face_match", "Bob", LEFT, ann),
            AnswerItem("change", "face_match", "Ann", LEFT, bob),
            AnswerItem.of("accept", bob),
            AnswerItem("add", "label", "cat", LEFT, attributes={"Face": {"FaceId": "face-1"}}),
            AnswerItem("add", "label", "dog", LEFT),
        ),
        exhaustive=True,
        scope=Scope(None, ("Ann", "Bob")),
    )
    save_answer(owner, CORRECTIONS, image, "reviewer", answer, key=uuid4())
    erasures = Erasures(engine)
    assert erasures.counted(NAMES) > 0
    erasure_id = erasures.open("person", "Ann", NAMES)
    erasures.wait_for_writers()
    for _ in erasures.erase(erasure_id, NAMES):
        pass
    assert erasures.counted(NAMES) == 0
    done = erasures.close(erasure_id, NAMES)
    assert done.removed["answer_items"] == 4
    said = everything(owner)
    assert not [name for name in ("Ann", "face-1", "ann-x7") if name in said]
    assert "Bob" in said
    assert "dog" in said

    save_answer(owner, CORRECTIONS, image, "other", answer, key=uuid4())
    assert "face-1" not in everything(owner)
    assert erasures.counted(NAMES) == 0


def test_truth_and_answers_go_with_their_image_and_with_nothing_else(
    engine: Engine, owner: Connection, record: Callable[[str], UUID]
) -> None:
    kept, gone = record("kept.jpg"), record("gone.jpg")
    answer = Answer((AnswerItem("add", "label", "cat", LEFT),), exhaustive=True)
    for image in (kept, gone):
        save_answer(owner, CORRECTIONS, image, "ann", answer, key=uuid4())
    owner.execute(
        "UPDATE images SET deleted_at = now() - interval '1 year' WHERE image_id = %s", [gone]
    )
    maintain(engine, Retention(0, 0, 30), tell=lambda line: None)
    for table in ("truths", "answers", "review_images"):
        assert owner.execute(f"SELECT image_id FROM {table}").fetchall() == [(kept,)]
    assert owner.execute("SELECT label FROM truth_items").fetchall() == [("cat",)]
