"""The store of reviews: nothing that people enter is lost, and they learn what became of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from retinue_history import HistoryDataError
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection, connect
from retinue_history.review.answer import Answer, AnswerItem, Shown
from retinue_history.review.answers import (
    CORRECTIONS,
    Saved,
    answers_of,
    findings_of,
    next_task,
    release,
    save_answer,
    skip,
    undo,
    upcoming,
)
from retinue_history.review.audit import audit_entries
from retinue_history.review.queues import QueueDefinition, close_queue, create_queue, queues
from retinue_history.review.truth import Scope, TruthItem, truth_of

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.3, 0.3)


def accept_all(shown: tuple[Shown, ...], **fields: Any) -> Answer:
    items = tuple(AnswerItem.of("accept", one) for one in shown)
    return Answer(**{"items": items, "exhaustive": True, **fields})


def added(label: str, box: tuple[float, float, float, float]) -> AnswerItem:
    return AnswerItem("add", "label", label, box)


def there(reader: Connection, image_id: UUID, name: str) -> list[tuple[str, bool]] | None:
    """Return the content of the truth with this name; ``None`` if it doesn't exist."""
    for truth in truth_of(reader, image_id):
        if truth.name == name:
            return [(item.label, item.present) for item in truth.items]
    return None


def test_from_the_queue_to_the_truth(
    add: Callable[..., UUID], reader: Connection, reviewer: Connection
) -> None:
    unsure = add("unsure.jpg", ("cat", 0.55, LEFT), ("dog", 0.9, RIGHT))
    sure = add("sure.jpg", ("cat", 0.99, LEFT))
    definition = QueueDefinition("pets", scope=Scope(("label",), ("cat", "dog")), audit_share=0)
    assert create_queue(reader, reviewer, definition, "ann") == 2

    assert upcoming(reader, "pets", "ann") == [unsure, sure]
    task = next_task(reader, reviewer, "pets", "ann")
    assert task is not None
    assert (task.image_id, task.scope) == (unsure, definition.scope)
    assert {(one.label, one.box) for one in task.shown} == {("cat", LEFT), ("dog", RIGHT)}
    again = next_task(reader, reviewer, "pets", "ann")
    assert again is not None
    assert (again.image_id, again.lease_id) == (unsure, task.lease_id)
    assert upcoming(reader, "pets", "ben") == [sure]

    cat, dog = sorted(task.shown, key=lambda one: one.label)
    answer = Answer(
        (
            AnswerItem.of("accept", cat),
            AnswerItem("change", "label", "fox", (0.5, 0.5, 0.4, 0.4), dog),
            added("cat", (0.0, 0.0, 0.05, 0.05)),
        ),
        exhaustive=True,
        scope=task.scope,
        seconds=4.5,
    )
    saved = save_answer(reviewer, "pets", unsure, "ann", answer, key=uuid4(), lease=task.lease_id)
    assert saved == Saved(saved.answer_id, False, False, False, "settled")
    [truth] = truth_of(reader, unsure)
    assert truth.items == (
        TruthItem("label", "cat", (0.0, 0.0, 0.05, 0.05)),
        TruthItem("label", "cat", LEFT),
        TruthItem("label", "fox", (0.5, 0.5, 0.4, 0.4)),
    )
    assert (truth.name, truth.source, truth.made_by) == ("pets", "review", "people")
    assert (truth.scope, truth.exhaustive, truth.propensity) == (definition.scope, True, None)
    [kept] = answers_of(reader, unsure)
    assert kept.answer == answer

    following = next_task(reader, reviewer, "pets", "ann")
    assert following is not None
    assert following.image_id == sure
    assert skip(reviewer, "pets", sure, "ann", key=uuid4()).state == "open"
    assert next_task(reader, reviewer, "pets", "ann") is None
    assert there(reader, sure, "pets") is None

    [queue, _] = queues(reader)
    assert (queue.name, queue.open, queue.settled) == ("pets", 1, 1)
    close_queue(reviewer, "pets", "ann")
    assert next_task(reader, reviewer, "pets", "ben") is None
    assert [entry.act for entry in reversed(audit_entries(reader))] == [
        "queue_created", "answer_saved", "image_settled", "image_skipped", "queue_closed"
    ]  # fmt: skip


def test_undo_is_a_row(add: Callable[..., UUID], reader: Connection, reviewer: Connection) -> None:
    image = add("1.jpg", ("cat", 0.9, LEFT))
    shown = findings_of(reader, image)

    def say(answer: Answer) -> int:
        return save_answer(reviewer, CORRECTIONS, image, "ann", answer, key=uuid4()).answer_id

    first = say(accept_all(shown))
    second = say(Answer((AnswerItem.of("reject", shown[0]),), exhaustive=False))
    assert there(reader, image, CORRECTIONS) == [("cat", False)]
    assert undo(reviewer, CORRECTIONS, image, "ann", second)
    assert there(reader, image, CORRECTIONS) == [("cat", True)]
    assert not undo(reviewer, CORRECTIONS, image, "ann", second)
    assert undo(reviewer, CORRECTIONS, image, "ann", first)
    assert there(reader, image, CORRECTIONS) is None
    with pytest.raises(HistoryDataError, match="ben has no answer"):
        undo(reviewer, CORRECTIONS, image, "ben", first)
    rows = reader.execute("SELECT verdict FROM answers ORDER BY answer_id").fetchall()
    assert rows == [("answered",), ("answered",), ("undone",), ("undone",)]


def test_nothing_entered_is_lost(
    add: Callable[..., UUID], reader: Connection, reviewer: Connection
) -> None:
    image = add("1.jpg", ("cat", 0.9, LEFT))
    create_queue(reader, reviewer, QueueDefinition("pets"), "ann")
    task = next_task(reader, reviewer, "pets", "ann", lease_seconds=-1)
    others = next_task(reader, reviewer, "pets", "ben")
    assert task is not None
    assert others is not None
    assert task.image_id == others.image_id == image, "the first lease had ended"

    key, answer = uuid4(), accept_all(task.shown, seconds=3.0)
    late = save_answer(reviewer, "pets", image, "ann", answer, key=key, lease=task.lease_id)
    assert (late.late, late.repeated, late.was_settled, late.state) == (
        True, False, False, "settled"
    )  # fmt: skip
    again = save_answer(
        reviewer, "pets", image, "ann", accept_all(task.shown, seconds=9.0), key=key
    )
    assert (again.answer_id, again.repeated) == (late.answer_id, True)
    with pytest.raises(HistoryDataError, match="was used for another answer"):
        save_answer(reviewer, "pets", image, "ann", Answer((), exhaustive=True), key=key)

    second = save_answer(reviewer, "pets", image, "ben", answer, key=uuid4(), lease=others.lease_id)
    assert (second.late, second.was_settled, second.state) == (False, True, "settled")
    assert [one.person for one in answers_of(reader, image)] == ["ann", "ben"]


def test_people_who_disagree_get_a_third_opinion_and_then_an_adjudicator(
    add: Callable[..., UUID], reader: Connection, reviewer: Connection
) -> None:
    image = add("1.jpg", ("cat", 0.9, LEFT))
    create_queue(reader, reviewer, QueueDefinition("pets", overlap=2, blind=True), "ann")

    def say(person: str, label: str) -> Saved:
        task = next_task(reader, reviewer, "pets", person)
        assert task is not None
        assert (task.image_id, task.shown) == (image, ())
        answer = Answer((added(label, LEFT),), exhaustive=True)
        return save_answer(
            reviewer, "pets", image, person, answer, key=uuid4(), lease=task.lease_id
        )

    assert say("ann", "cat").state == "open"
    assert next_task(reader, reviewer, "pets", "ann") is None, "she has answered it"
    assert say("ben", "dog").state == "open"
    assert say("cid", "fox").state == "disputed"
    assert next_task(reader, reviewer, "pets", "dan") is None
    assert there(reader, image, "pets") is None
    task = next_task(reader, reviewer, "pets", "eva", adjudicate=True)
    assert task is not None
    assert [one.answer.items[0].label for one in task.others] == ["cat", "dog", "fox"]
    final = Answer((added("fox", LEFT),), exhaustive=True, adjudicates=True)
    saved = save_answer(reviewer, "pets", image, "eva", final, key=uuid4(), lease=task.lease_id)
    assert saved.state == "settled"
    assert there(reader, image, "pets") == [("fox", True)]
    undo(reviewer, "pets", image, "eva", saved.answer_id)
    assert there(reader, image, "pets") is None


def test_two_connections_never_get_the_same_image(
    add: Callable[..., UUID], reader: Connection, open_reviewer: Callable[[], Connection]
) -> None:
    images = {add(f"{number}.jpg", ("cat", 0.5, LEFT)) for number in range(40)}
    create_queue(reader, open_reviewer(), QueueDefinition("pets"), "ann")
    start = Barrier(4)

    def work(person: str, connection: Connection) -> list[UUID]:
        taken: list[UUID] = []
        start.wait()
        while True:
            row = connection.execute(
                "SELECT image_id, lease_id FROM lease_next_image('pets', %s, 60, false)",
                [person],
            ).fetchone()
            if row is None:
                return taken
            taken.append(row[0])
            answer = Answer((), exhaustive=True)
            save_answer(connection, "pets", row[0], person, answer, key=uuid4(), lease=row[1])

    with ThreadPoolExecutor(4) as people:
        each = [people.submit(work, f"p{number}", open_reviewer()) for number in range(4)]
        taken = [image_id for one in each for image_id in one.result()]
    assert len(taken) == len(set(taken)) == 40
    assert set(taken) == images
    [queue, _] = queues(reader)
    assert (queue.open, queue.settled) == (0, 40)


def test_two_save_one_image_at_the_same_time(
    add: Callable[..., UUID],
    reader: Connection,
    open_reviewer: Callable[[], Connection],
    history_url: str,
) -> None:
    """Both wait for the image's row; whoever comes second settles from both answers."""
    image = add("1.jpg", ("cat", 0.9, LEFT))
    create_queue(reader, open_reviewer(), QueueDefinition("pets", overlap=2), "ann")
    first, second = open_reviewer(), open_reviewer()
    answer = accept_all(findings_of(reader, image))
    with ThreadPoolExecutor(1) as people, connect(history_url, "test", autocommit=True) as owner:
        with first.transaction():
            assert save_answer(first, "pets", image, "ann", answer, key=uuid4()).state == "open"
            waits = people.submit(save_answer, second, "pets", image, "ben", answer, key=uuid4())
            waiting = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            while owner.execute(waiting, [second.info.backend_pid]).fetchone() is None:
                assert not waits.done()
        assert waits.result().state == "settled"
    assert there(reader, image, "pets") == [("cat", True)]


def test_release(add: Callable[..., UUID], reader: Connection, reviewer: Connection) -> None:
    image = add("1.jpg", ("cat", 0.9, LEFT))
    create_queue(reader, reviewer, QueueDefinition("pets"), "ann")
    task = next_task(reader, reviewer, "pets", "ann")
    assert task is not None
    assert next_task(reader, reviewer, "pets", "ben") is None
    assert release(reviewer, task.lease_id, "ann")
    assert not release(reviewer, task.lease_id, "ann")
    given = next_task(reader, reviewer, "pets", "ben")
    assert given is not None
    assert given.image_id == image


def test_a_reviewer_can_do_no_more_than_review(
    add: Callable[..., UUID], reader: Connection, reviewer: Connection
) -> None:
    add("1.jpg", ("cat", 0.9, LEFT))
    tables = reader.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
        "AND relkind IN ('r', 'p', 'v')"
    ).fetchall()
    for (name,) in tables:
        for statement in (f"SELECT FROM {name}", f"DELETE FROM {name}"):
            with pytest.raises(psycopg.Error, match=r"permission denied|cannot delete"):
                reviewer.execute(statement)
    for call in ("save_truth(gen_random_uuid(), 'a', 'review', '{}')", "find_queue('corrections')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reviewer.execute(f"SELECT {call}")
    log_act = "SELECT log_act('ann', 'original_downloaded', NULL, NULL, '{}')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(log_act)
    reviewer.execute(log_act)
    assert [entry.person for entry in audit_entries(reader)] == ["ann"]


def test_only_its_own_tables_are_found_by_a_function_with_its_owners_rights(
    history_url: str,
) -> None:
    with connect(history_url, "test") as owner:
        open_to_redirection = owner.execute(
            "SELECT proname FROM pg_proc WHERE prosecdef "
            "AND pronamespace = current_schema()::regnamespace "
            "AND NOT coalesce(proconfig::text ~ 'search_path=.*pg_temp', false)"
        ).fetchall()
    assert open_to_redirection == []


def test_names_are_not_used_twice(
    add: Callable[..., UUID], reader: Connection, reviewer: Connection
) -> None:
    add("1.jpg", ("cat", 0.9, LEFT))
    create_queue(reader, reviewer, QueueDefinition("pets"), "ann")
    for name, what in (("pets", "a queue"), ("objects", "a detector")):
        with pytest.raises(HistoryDataError, match=f"{name} is the name of {what}"):
            create_queue(reader, reviewer, QueueDefinition(name), "ann")
    with pytest.raises(HistoryDataError, match="no image is selected"):
        create_queue(
            reader, reviewer, QueueDefinition("none", Selection(prefix="elsewhere/")), "ann"
        )
    with pytest.raises(HistoryDataError, match="there is no queue named nowhere"):
        next_task(reader, reviewer, "nowhere", "ann")
    gone = uuid4()
    with pytest.raises(HistoryDataError):
        save_answer(reviewer, "pets", gone, "ann", Answer((), exhaustive=True), key=uuid4())
