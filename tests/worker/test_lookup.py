"""Finished and erased images are looked up for many messages in one query."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fakes import work
from fakes.history import MemoryHistory
from fakes.waiting import until
from retinue_history import DetectionRecord, DetectionSummary, HistoryDataError
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.recording.lookup import GROUP, Lookup, Wanted


class Asked(MemoryHistory):
    """Notes the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[int] = []
        self.asked_about_erasure: list[Sequence[UUID]] = []

    def done_and_erased(self, tasks: Any, images: Any) -> Any:
        self.questions.append(len(tasks))
        self.asked_about_erasure.append([image.image_id for image in images])
        return super().done_and_erased(tasks, images)


@pytest.fixture
def history() -> Asked:
    return Asked()


def wanted(key: str, detector: str = "echo", event_id: str = "AA") -> Wanted:
    return Wanted(work.run_key(key, detector), event_id, work.record(key))


async def pending(
    history: Asked, *questions: list[Wanted], gate: ReceiveGate | None = None
) -> list[list[str]]:
    """Return the remaining image keys and detectors of each concurrent query."""
    threads = DaemonThreads("history", 2)
    lookup = Lookup(history, threads, gate or ReceiveGate())
    try:
        answers = await asyncio.gather(*map(lookup.pending, questions))
    finally:
        threads.close()
    return [[f"{one.image.key} {one.key.detector}" for one in answer] for answer in answers]


async def test_questions_of_a_moment_are_one_and_each_gets_its_own_answer(history: Asked) -> None:
    history.runs.append(work.run("a.jpg"))
    questions = [[wanted("a.jpg"), wanted("a.jpg", "other")], [wanted("b.jpg")], [wanted("a.jpg")]]
    assert await pending(history, *questions) == [["a.jpg other"], ["b.jpg echo"], []]
    assert history.questions == [4]


async def test_many_questions_are_asked_in_groups(history: Asked) -> None:
    questions = [[wanted(f"{number}.jpg")] for number in range(GROUP + 5)]
    answers = await pending(history, *questions)
    assert [len(answer) for answer in answers] == [1] * (GROUP + 5)
    assert history.questions == [GROUP, 5]


async def test_a_failed_run_of_another_event_is_not_done(history: Asked) -> None:
    history.runs.append(work.run(event_id="01", outcome="failed"))
    assert await pending(history, [wanted("a.jpg", event_id="01")]) == [[]]
    assert await pending(history, [wanted("a.jpg", event_id="02")]) == [["a.jpg echo"]]


async def test_erased_images_are_left_out_and_asked_about_once(
    history: Asked, logged: list[dict[str, Any]]
) -> None:
    erased, kept = work.record("a.jpg").image_id, work.record("b.jpg").image_id
    history.erased_images = {erased}
    record = work.record("a.jpg")
    both = [Wanted(work.run_key("a.jpg", name), "AA", record) for name in ("echo", "other")]
    assert await pending(history, [*both, wanted("b.jpg")]) == [["b.jpg echo"]]
    assert history.asked_about_erasure == [[erased, kept]]
    assert [entry["images"] for entry in logged] == [1]


async def test_nothing_wanted_is_no_question(history: Asked) -> None:
    assert await pending(history, []) == [[]]
    assert history.questions == []


async def test_a_question_that_the_history_refuses_fails_alone(history: Asked) -> None:
    real = history.done_and_erased

    def done_and_erased(tasks: Any, images: Any) -> Any:
        if any(event_id == "odd" for _, event_id in tasks):
            raise HistoryDataError("odd")
        return real(tasks, images)

    history.done_and_erased = done_and_erased  # type: ignore[method-assign]
    threads = DaemonThreads("history", 2)
    lookup = Lookup(history, threads, ReceiveGate())
    questions = [[wanted("a.jpg")], [wanted("b.jpg", event_id="odd")], [wanted("c.jpg")]]
    answers = await asyncio.gather(*map(lookup.pending, questions), return_exceptions=True)
    threads.close()
    assert [
        str(answer) if isinstance(answer, Exception) else len(answer) for answer in answers
    ] == [
        1,
        "odd",
        1,
    ]


async def test_a_history_away_closes_the_gate_and_is_asked_again(history: Asked) -> None:
    gate = ReceiveGate()
    history.away = True
    asking = asyncio.create_task(pending(history, [wanted("a.jpg")], gate=gate))
    await until(lambda: history.calls >= 3)
    assert gate.reasons() == {"history": "the database is away"}
    history.away = False
    assert await asking == [["a.jpg echo"]]
    assert gate.reasons() == {}


async def test_a_bug_reaches_those_who_ask(history: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(history, "done_and_erased", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        await pending(history, [wanted("a.jpg")])


async def test_summaries_of_earlier_runs(history: Asked) -> None:
    found = DetectionRecord("label", "Dog", 0.5)
    history.runs += [replace(work.run(), detections=(found,)), work.run("b.jpg", outcome="failed")]
    threads = DaemonThreads("history", 1)
    lookup = Lookup(history, threads, ReceiveGate())
    keys = [work.run_key("a.jpg"), work.run_key("b.jpg")]
    summary = DetectionSummary("label", "Dog", 0.5)
    assert await lookup.summaries(keys) == {keys[0]: [summary]}
    before = history.calls
    assert await lookup.summaries([]) == {}
    assert history.calls == before
    threads.close()
