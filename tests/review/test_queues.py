"""What a queue holds, and decisions about many images."""

import random
from collections.abc import Callable
from typing import Literal
from uuid import UUID, uuid4

import pytest
from retinue_history import HistoryDataError
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.review import queues
from retinue_history.review.agreement import agreement
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import CORRECTIONS, answers_of, findings_of, save_answer
from retinue_history.review.bulk import BulkAct, apply_bulk, preview_bulk, undo_bulk
from retinue_history.review.queues import QueueDefinition, Strategy, create_queue
from retinue_history.review.truth import truth_names, truth_of

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)
Add = Callable[..., UUID]


def queued(reader: Connection, queue: str) -> list[tuple[UUID, str, float | None]]:
    return reader.execute(
        "SELECT image_id, role, propensity FROM review_images JOIN review_queues USING (queue_id) "
        "WHERE name = %s ORDER BY place",
        [queue],
    ).fetchall()


@pytest.mark.parametrize(
    ("strategy", "first"),
    [("uncertain", "unsure"), ("rare", "rare"), ("disagreement", "disputed"), ("random", None)],
)
def test_strategies(
    add: Add, reader: Connection, reviewer: Connection, strategy: Strategy, first: str | None
) -> None:
    images = {
        "unsure": add("unsure.jpg", ("cat", 0.52, LEFT)),
        "rare": add("rare.jpg", ("axolotl", 0.95, LEFT)),
        "disputed": add("disputed.jpg", ("cat", 0.9, LEFT)),
        "plain": add("plain.jpg", ("cat", 0.9, LEFT), ("cat", 0.8, RIGHT)),
    }
    add("disputed.jpg", detector="other")
    add("plain.jpg", ("CAT", 0.9, LEFT), detector="other")
    definition = QueueDefinition("q", strategy=strategy, audit_share=0)
    number = create_queue(reader, reviewer, definition, "ann")
    found = [image_id for image_id, _, _ in queued(reader, "q")]
    assert len(found) == number == (1 if strategy == "disagreement" else 4)
    if first is not None:
        assert found[0] == images[first]


def test_a_run_whose_detections_were_dropped_does_not_disagree(
    add: Add, reader: Connection, reviewer: Connection, owner: Connection
) -> None:
    add("old.jpg", ("cat", 0.9, LEFT))
    add("old.jpg", ("cat", 0.9, LEFT), version="2")
    with owner.transaction():  # as months are dropped: the counts stay
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(
            "DELETE FROM detections USING runs WHERE detections.run_id = runs.run_id"
            " AND detector_version = '1'"
        )
    definition = QueueDefinition("q", strategy="disagreement", audit_share=0)
    with pytest.raises(HistoryDataError, match="no image"):
        create_queue(reader, reviewer, definition, "ann")


def test_a_queue_gets_no_name_that_commands_would_read_as_runs(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    add("cat.jpg", ("cat", 0.9, LEFT))
    for name in ("48", "objects@1", "labels, week 48"):
        with pytest.raises(HistoryDataError, match=f"{name}: the name of a truth can't be"):
            create_queue(reader, reviewer, QueueDefinition(name), "ann")
    assert create_queue(reader, reviewer, QueueDefinition("labels week 48"), "ann") == 1


def test_drift_brings_what_changed(
    add: Add, reader: Connection, reviewer: Connection, owner: Connection
) -> None:
    for number in range(5):
        add(f"old-{number}.jpg", ("cat", 0.9, LEFT))
    owner.execute("UPDATE label_counts SET day = day - 60")
    new = add("new.jpg", ("mould", 0.9, LEFT))
    more = [add(f"more-{number}.jpg", ("mould", 0.9, LEFT)) for number in range(3)]
    create_queue(reader, reviewer, QueueDefinition("q", strategy="drift", audit_share=0), "ann")
    assert {image_id for image_id, _, _ in queued(reader, "q")[:4]} == {new, *more}


def test_a_queue_is_chosen_by_the_labels_and_detectors_of_its_selection(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    sure = add("sure.jpg", ("cat", 0.9, LEFT), ("dog", 0.5, RIGHT))
    unsure = add("unsure.jpg", ("cat", 0.6, LEFT))
    add("sure.jpg", ("cat", 0.5, LEFT), detector="other")
    add("dog.jpg", ("dog", 0.5, LEFT))
    selection = Selection(labels=["cat"], detectors=["objects"])
    create_queue(reader, reviewer, QueueDefinition("q", selection, audit_share=0), "ann")
    assert [image_id for image_id, _, _ in queued(reader, "q")] == [unsure, sure]
    narrow = QueueDefinition("n", Selection(labels=["cat"], min_confidence=0.8), audit_share=0)
    create_queue(reader, reviewer, narrow, "ann")
    assert [image_id for image_id, _, _ in queued(reader, "n")] == [sure]


def test_an_audit_is_drawn_from_all_with_a_known_chance(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    images = [add(f"{number}.jpg", ("cat", number / 20, LEFT)) for number in range(20)]
    definition = QueueDefinition("q", size=10, audit_share=0.2)
    assert create_queue(reader, reviewer, definition, "ann", seed=1) == 10
    rows = queued(reader, "q")
    assert sorted(role for _, role, _ in rows) == ["audit"] * 2 + ["chosen"] * 8
    assert {propensity for _, role, propensity in rows if role == "audit"} == {2 / 20}
    assert len({image_id for image_id, _, _ in rows}) == 10
    [(drawn, *_)] = [row for row in rows if row[1] == "audit"][:1]
    save_answer(reviewer, "q", drawn, "ann", Answer((), exhaustive=True), key=uuid4())
    assert [truth.propensity for truth in truth_of(reader, drawn)] == [2 / 20]
    assert set(images) >= {image_id for image_id, _, _ in rows}


def test_images_are_chosen_from_a_sample_of_a_large_selection(
    add: Add, reader: Connection, reviewer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [add(f"{number}.jpg", ("cat", number / 40, LEFT)) for number in range(40)]
    monkeypatch.setattr(queues, "SAMPLE", 20)
    estimates = []
    for seed in range(8):
        definition = QueueDefinition(f"q{seed}", size=8, audit_share=0.5)
        create_queue(reader, reviewer, definition, "ann", seed=seed)
        rows = queued(reader, f"q{seed}")
        assert len({image_id for image_id, _, _ in rows} & set(images)) == 8
        [chance] = {propensity for _, role, propensity in rows if role == "audit"}
        estimates.append(4 / chance)
    assert all(estimate >= 20 for estimate in estimates)
    assert 30 < sum(estimates) / len(estimates) < 55  # of 40


def test_gold_images_test_people_and_settle_nothing(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    known = add("known.jpg", ("cat", 0.9, LEFT))
    add("other.jpg", ("cat", 0.6, LEFT))
    truth = Answer((AnswerItem("add", "label", "cat", LEFT),), exhaustive=True)
    save_answer(reviewer, CORRECTIONS, known, "expert", truth, key=uuid4())
    definition = QueueDefinition("q", gold=CORRECTIONS, gold_share=0.5, size=2, audit_share=0)
    create_queue(reader, reviewer, definition, "ann")
    assert {role for image_id, role, _ in queued(reader, "q") if image_id == known} == {"gold"}
    right, wrong = truth, Answer((AnswerItem("add", "label", "dog", LEFT),), exhaustive=True)
    for person, answer in (("ann", right), ("ben", wrong)):
        save_answer(reviewer, "q", known, person, answer, key=uuid4())
    assert agreement(reader, "q").gold == {"ann": (1, 1), "ben": (0, 1)}
    assert [truth.name for truth in truth_of(reader, known)] == [CORRECTIONS]


def test_shares_and_sizes_are_checked(reader: Connection, reviewer: Connection) -> None:
    for definition in (QueueDefinition("q", audit_share=1.5), QueueDefinition("q", size=0)):
        with pytest.raises(ValueError, match="must be"):
            create_queue(reader, reviewer, definition, "ann")


def test_a_bulk_decision_is_previewed_marked_and_undone_as_one(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    images = [add(f"{n}.jpg", ("cat", 0.9, LEFT), ("dog", 0.4, RIGHT)) for n in range(3)]
    shown = findings_of(reader, images[0])
    by_hand = Answer((AnswerItem.of("reject", shown[0]),), exhaustive=True)
    save_answer(reviewer, CORRECTIONS, images[0], "ann", by_hand, key=uuid4())
    before = [truth_of(reader, image) for image in images]

    act = BulkAct(
        CORRECTIONS, tuple(images), "change", "label", "dog", to_label="wolf", max_confidence=0.5
    )
    changes = preview_bulk(reader, act, "ann")
    assert [change.image_id for change in changes] == images
    assert [truth_of(reader, image) for image in images] == before, "a preview changes nothing"

    bulk = apply_bulk(reviewer, CORRECTIONS, changes, "ann")
    again = apply_bulk(reviewer, CORRECTIONS, changes, "ann", bulk_id=bulk)
    assert again == bulk
    assert reader.execute("SELECT count(*) FROM answers").fetchone() == (4,), "it was repeated"
    [first] = truth_of(reader, images[0])
    assert [(item.label, item.present) for item in first.items] == [
        ("cat", False), ("wolf", True)
    ]  # fmt: skip
    assert (first.made_by, first.exhaustive) == ("bulk", True)
    [second] = truth_of(reader, images[1])
    assert ([item.label for item in second.items], second.exhaustive) == (["wolf"], False)
    assert {one.bulk_id for image in images for one in answers_of(reader, image)} == {bulk}

    for queue, person in (("q", "ann"), (CORRECTIONS, "ben")):
        with pytest.raises(HistoryDataError, match="has made no decision"):
            undo_bulk(reader, reviewer, queue, bulk, person)
    assert undo_bulk(reader, reviewer, CORRECTIONS, bulk, "ann") == 3
    assert undo_bulk(reader, reviewer, CORRECTIONS, bulk, "ann") == 0
    after = [truth_of(reader, image) for image in images]
    assert [[truth.items for truth in each] for each in after] == [
        [truth.items for truth in each] for each in before
    ]
    assert [one.images for one in truth_names(reader)] == [1]
    assert (
        preview_bulk(reader, BulkAct(CORRECTIONS, (uuid4(),), "accept", "label", "cat"), "ann")
        == []
    )


def test_a_bulk_decision_replaces_the_one_about_an_earlier_run(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    moved = (LEFT[0] + 0.01, *LEFT[1:])

    def decide(decision: Literal["accept", "reject"]) -> list[tuple[str, bool]]:
        changes = preview_bulk(
            reader, BulkAct(CORRECTIONS, (image,), decision, "label", "cat"), "ann"
        )
        apply_bulk(reviewer, CORRECTIONS, changes, "ann")
        [truth] = truth_of(reader, image)
        return [(item.label, item.present) for item in truth.items]

    image = add("a.jpg", ("cat", 0.9, LEFT), ("cat", 0.8, RIGHT))
    assert decide("accept") == [("cat", True)] * 2
    add("a.jpg", ("cat", 0.9, moved), version="2")
    assert decide("accept") == [("cat", True)] * 2
    add("a.jpg", ("cat", 0.9, LEFT), version="3")
    assert decide("reject") == [("cat", False), ("cat", True)]


def test_a_bulk_decision_is_saved_whole_or_not_at_all(
    add: Add, reader: Connection, reviewer: Connection
) -> None:
    images = [add(f"{n}.jpg", ("cat", 0.9, LEFT)) for n in range(3)]
    act = BulkAct(CORRECTIONS, tuple(images), "accept", "label", "cat")
    changes = preview_bulk(reader, act, "ann")
    broken = [*changes, type(changes[0])(uuid4(), changes[0].findings, changes[0].answer)]
    random.Random(1).shuffle(broken)
    with pytest.raises(HistoryDataError):
        apply_bulk(reviewer, CORRECTIONS, broken, "ann")
    assert reader.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    with pytest.raises(ValueError, match="to_label needs the decision change"):
        BulkAct(CORRECTIONS, (), "accept", "label", "cat", to_label="dog")


def test_a_selection_narrows_the_queue(add: Add, reader: Connection, reviewer: Connection) -> None:
    wanted = add("a/1.jpg", ("cat", 0.9, LEFT))
    add("b/1.jpg", ("cat", 0.9, LEFT))
    definition = QueueDefinition("q", Selection(prefix="a/", detectors=("objects",)))
    assert create_queue(reader, reviewer, definition, "ann") == 1
    assert [image_id for image_id, _, _ in queued(reader, "q")] == [wanted]
