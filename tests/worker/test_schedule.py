"""What a detector is given next: in order, batched, paced, later, and nothing lost."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.deliveries import attempt
from fakes.waiting import eventually
from hypothesis import given, settings
from hypothesis import strategies as st
from retinue_workers.attempt import Attempt
from retinue_workers.detectors.batch_queue import Schedule


class Time:
    """The monotonic clock, as the schedule sees it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("retinue_workers.detectors.batch_queue.time", clock)
    return clock


def schedule(batch: int = 1, pace: float | None = None) -> Schedule:
    return Schedule(max_batch_size=batch, requests_per_second=pace)


def attempts(number: int) -> list[Attempt]:
    return [attempt(f"{index}.jpg") for index in range(number)]


def test_batches_are_what_waits_up_to_the_largest_size() -> None:
    waiting = attempts(5)
    lane = schedule(batch=3)
    for one in waiting:
        lane.put(one)
    assert lane.take() == waiting[:3]
    assert lane.take() == waiting[3:]  # and does not wait for company


def test_one_that_must_be_alone_is_alone() -> None:
    before, alone, after, last = waiting = attempts(4)
    alone.alone = True
    lane = schedule(batch=10)
    for one in waiting:
        lane.put(one)
    assert lane.take() == [before]
    assert lane.take() == [alone]
    assert lane.take() == [after, last]


def test_later_is_later(clock: Time) -> None:
    first, second, third = attempts(3)
    lane = schedule()
    lane.put(first, clock.now + 20)
    lane.put(second, clock.now + 10)
    lane.put(third)
    assert lane.take() == [third]
    clock.now += 20
    assert lane.take() == [second]
    assert lane.take() == [first]


def test_two_that_are_due_at_once_come_in_order(clock: Time) -> None:
    waiting = attempts(20)
    lane = schedule(batch=20)
    for one in waiting:
        lane.put(one, clock.now + 5)
    clock.now += 5
    assert lane.take() == waiting


def test_nothing_comes_before_its_time() -> None:
    lane = schedule()
    (one,) = attempts(1)
    began = time.monotonic()
    lane.put(one, began + 0.1)
    assert lane.take() == [one]
    assert time.monotonic() - began >= 0.1


def test_batches_keep_their_pace() -> None:
    lane = schedule(pace=20)
    for one in attempts(4):
        lane.put(one)
    times = []
    for _ in range(4):
        lane.take()
        times.append(time.monotonic())
    assert times[-1] - times[0] >= 3 / 20 - 0.001


def test_pace_is_no_credit(clock: Time) -> None:
    """After a quiet hour the next batches still keep their distance."""
    lane = schedule(pace=2)
    for one in attempts(2):
        lane.put(one)
    clock.now += 3_600
    lane.take()
    assert lane._next_batch == clock.now + 0.5


def test_a_pause_holds_everything_until_it_is_over() -> None:
    lane = schedule()
    (one,) = attempts(1)
    began = time.monotonic()
    lane.pause(began + 0.1)
    lane.put(one)
    assert lane.take() == [one]
    assert time.monotonic() - began >= 0.1


def test_a_pause_can_be_ended_early() -> None:
    lane = schedule()
    lane.pause(time.monotonic() + 3_600)
    lane.put(attempt())
    with ThreadPoolExecutor() as pool:
        taken = pool.submit(lane.take)
        lane.pause(0.0)
        assert taken.result(10)


def test_waiting_for_the_end_of_a_pause() -> None:
    lane = schedule()
    assert lane.wait_until_resumed()
    lane.pause(time.monotonic() + 0.05)
    assert lane.wait_until_resumed()
    lane.pause(time.monotonic() + 3_600)
    with ThreadPoolExecutor() as pool:
        resumed = pool.submit(lane.wait_until_resumed)
        lane.close()
        assert resumed.result(10) is False


def test_close_gives_back_what_waits_and_takes_nothing_more() -> None:
    ready, later, late = attempts(3)
    lane = schedule()
    lane.put(ready)
    lane.put(later, time.monotonic() + 3_600)
    assert lane.close() == [ready, later]
    assert lane.take() == []
    assert not lane.put(late)
    assert lane.close() == []


def test_close_wakes_everybody() -> None:
    lane = schedule()
    with ThreadPoolExecutor(4) as pool:
        takers = [pool.submit(lane.take) for _ in range(4)]
        eventually(lambda: len(lane._changed._waiters) == 4)  # type: ignore[attr-defined]
        lane.close()
        assert [taker.result(10) for taker in takers] == [[]] * 4


@pytest.mark.parametrize("seconds", [1e10, 1e13, 1e300, float("inf")])
def test_a_wait_of_centuries_is_no_error(seconds: float) -> None:
    lane = schedule(pace=1e-300)
    lane.put(attempt(), time.monotonic() + seconds)
    with ThreadPoolExecutor() as pool:
        taken = pool.submit(lane.take)
        eventually(lambda: lane._changed._waiters)  # type: ignore[attr-defined]
        now = attempt()
        lane.put(now)
        assert taken.result(10) == [now]
        taken = pool.submit(lane.take)  # paced by a rate that is next to nothing
        lane.put(attempt())
        eventually(lambda: lane._changed._waiters)  # type: ignore[attr-defined]
        assert not taken.done()
        assert len(lane.close()) == 2
        assert taken.result(10) == []


@pytest.mark.parametrize("pace", [None, 200.0])
def test_no_attempt_waits_while_a_thread_is_idle(pace: float | None) -> None:
    """However many threads, and however they were woken: as many attempts, as many at work."""
    lane = schedule(pace=pace)
    release = threading.Event()
    at_work: list[Attempt] = []

    def work() -> None:
        while got := lane.take():
            at_work.extend(got)
            release.wait(20)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    try:
        soon = time.monotonic() + 0.02
        for number, one in enumerate(attempts(5)):
            lane.put(one, soon if number % 2 else 0.0)
        eventually(lambda: len(at_work) == 5)
    finally:
        release.set()
        lane.close()
        for thread in threads:
            thread.join(10)


# Nothing is lost, and nothing comes twice, whatever is done in whatever order.

steps = st.one_of(
    st.tuples(st.just("put"), st.booleans()),
    st.tuples(st.just("later"), st.floats(0.1, 30)),
    st.tuples(st.just("take"), st.none()),
    st.tuples(st.just("advance"), st.floats(0, 20)),
)


@given(
    plan=st.lists(steps, max_size=60),
    batch=st.integers(1, 5),
    pace=st.sampled_from([None, 10.0]),
)
@settings(deadline=None, max_examples=150)
def test_nothing_is_lost_and_nothing_doubled(
    plan: list[tuple[str, float | bool | None]], batch: int, pace: float | None
) -> None:
    clock = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.detectors.batch_queue.time", clock)
        lane = schedule(batch, pace)
        put: list[Attempt] = []
        due: dict[int, float] = {}
        taken: list[Attempt] = []

        def take() -> None:
            # Only if something can be taken at once, as this test has but one thread.
            clock.now += 1.0
            if any(moment <= clock.now for moment in due.values()):
                got = lane.take()
                assert 1 <= len(got) <= batch
                assert len(got) == 1 or not any(one.alone for one in got)
                assert all(due.pop(id(one)) <= clock.now for one in got)
                taken.extend(got)

        for step, value in plan:
            match step:
                case "put" | "later":
                    one = attempt()
                    one.alone = value is True
                    moment = clock.now + float(value or 0.0) if step == "later" else 0.0
                    assert lane.put(one, moment)
                    put.append(one)
                    due[id(one)] = moment
                case "advance":
                    clock.now += value or 0.0
                case "take":
                    take()
        rest = lane.close()
    assert Counter(map(id, taken + rest)) == Counter(map(id, put))


@given(number=st.integers(0, 60), batch=st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_those_without_a_date_come_in_order(number: int, batch: int) -> None:
    waiting = attempts(number)
    lane = schedule(batch)
    for one in waiting:
        lane.put(one)
    taken: list[Attempt] = []
    while len(taken) < number:
        taken += lane.take()
    assert taken == waiting


def test_many_threads_lose_nothing() -> None:
    lane = schedule(batch=3)
    taken: list[Attempt] = []
    lock = threading.Lock()

    def consume() -> None:
        while got := lane.take():
            again = []
            with lock:
                for one in got:
                    if one.tries < 2:
                        one.tries += 1
                        again.append(one)
                    else:
                        taken.append(one)
            for one in again:
                lane.put(one, time.monotonic() + 0.001 if one.tries == 1 else 0.0)

    def produce(some: list[Attempt]) -> None:
        for one in some:
            lane.put(one)

    waiting = attempts(400)
    threads = [threading.Thread(target=consume) for _ in range(6)]
    threads += [threading.Thread(target=produce, args=(waiting[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(taken) == 400)
    finally:
        lane.close()
        for thread in threads:
            thread.join(10)
    assert Counter(map(id, taken)) == Counter(map(id, waiting))
