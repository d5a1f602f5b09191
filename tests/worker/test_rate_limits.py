"""A quota is divided fairly, follows what the service lets through, and outlives its workers."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, cast

import psycopg
import pytest
from fakes import work
from fakes.history import MemoryHistory
from fakes.runners import said
from fakes.waiting import settle, until
from hypothesis import given
from hypothesis import strategies as st
from retinue_history import ConnectionPool, History, HistoryUnavailableError, QuotaLease, QuotaState
from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Result,
)
from retinue_workers.detectors.call_rate_limiter import CallRateLimiter
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.detectors.suspects import Successes
from retinue_workers.intake.prefetch import Prefetch
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.rate_limits import shared_limiter
from retinue_workers.limits.rate_limits.fair_share import fair, next_slot_seconds, share
from retinue_workers.limits.rate_limits.quota import SharedQuota
from retinue_workers.limits.rate_limits.shared_limiter import SharedRateLimiter
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads

RATES = st.floats(0.01, 1_000)
LEASES = st.lists(
    st.builds(QuotaLease, st.floats(0, 1_000), RATES, st.floats(-9, 9), st.text()), max_size=6
)


@given(rate=RATES, demands=st.lists(st.floats(0, 1_000), min_size=1, max_size=8))
def test_fair_parts_are_the_whole_and_nobody_is_behind(rate: float, demands: list[float]) -> None:
    parts = [
        fair(rate, mine, demands[:index] + demands[index + 1 :])
        for index, mine in enumerate(demands)
    ]
    assert sum(parts) == pytest.approx(rate)
    for mine, part in zip(demands, parts, strict=True):
        if part < mine * 0.999999:  # who gets less than it asks for gets as much as anybody
            assert part >= max(parts) * 0.999999


@given(rate=RATES, demand=st.floats(0, 1_000), held=RATES, others=LEASES)
def test_a_share_is_never_more_than_fair(
    rate: float, demand: float, held: float, others: list[QuotaLease]
) -> None:
    part = share(rate, demand=demand, held=held, others=others)
    assert 0 <= part <= fair(rate, demand, [other.demand_rps for other in others])


def test_more_is_taken_only_from_what_nobody_holds() -> None:
    greedy, modest = QuotaLease(100, 50, 0, "greedy"), QuotaLease(100, 25, 0, "modest")
    newcomer = QuotaLease(100, 0, 0, "newcomer")
    assert share(50, demand=100, held=0, others=[greedy]) == pytest.approx(2.5)
    assert share(50, demand=100, held=50, others=[newcomer]) == 25
    assert share(50, demand=100, held=0, others=[modest]) == 25


def test_workers_with_equal_shares_take_turns() -> None:
    first, third = QuotaLease(100, 10, 0.04, "a"), QuotaLease(100, 10.5, 0.3, "c")
    other = QuotaLease(1, 1, 0.07, "0")  # takes less, so there is no turn to take with it
    assert next_slot_seconds("a", 10, [third, other]) is None
    assert next_slot_seconds("b", 10, [third, first, other]) == pytest.approx(0.04 + 0.1 / 3)
    assert next_slot_seconds("c", 10, [first, other]) == pytest.approx(0.04 + 0.1 / 2)


class Simulation:
    """Workers with the real algorithm, on a clock that a test turns, against a limit a second.

    Args:
        workers: How many, with sixteen calls at once each.
        limit: Calls in any second that the service lets through.
    """

    def __init__(self, workers: int, limit: int) -> None:
        self.now = 1_000.0
        self.limit = limit
        self.passed: list[float] = []
        self.throttled: list[float] = []
        self._random = random.Random(7)
        self._state = QuotaState(None, 0.0, 0, 0, 0)
        self._lowered_at = 0.0
        self._leases: dict[int, QuotaLease] = {}
        self._quotas = [
            SharedQuota(str(name), 50, clock=lambda: self.now) for name in range(workers)
        ]
        self._renew_at = [self.now + 0.3 * self._random.random() for _ in range(workers)]
        self._renewed_at = [0.0] * workers
        self._under_way: list[tuple[float, int, int, bool]] = []

    def run(self, seconds: float) -> None:
        """Let time pass, a millisecond at a time."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.001
            done = [call for call in self._under_way if call[0] <= self.now]
            self._under_way = [call for call in self._under_way if call[0] > self.now]
            for _, worker, epoch, throttled in done:
                if throttled:
                    self._quotas[worker].throttled(epoch)
                    soonest = max(self.now, self._renewed_at[worker] + 0.25)
                    self._renew_at[worker] = min(self._renew_at[worker], soonest)
            for worker, quota in enumerate(self._quotas):
                busy = sum(call[1] == worker for call in self._under_way)
                quota.wants()
                if busy < 16 and (epoch := quota.try_acquire()) is not None:
                    self._call(worker, epoch)
                if self._renew_at[worker] <= self.now:
                    self._renew(worker, quota, waiting=16 - busy)

    def rate(self, since: float) -> float:
        """Return calls a second that passed since then."""
        return sum(moment >= since for moment in self.passed) / (self.now - since)

    def refused(self, since: float) -> float:
        """Part of the calls that was throttled since then."""
        throttled = sum(moment >= since for moment in self.throttled)
        return throttled / (throttled + sum(moment >= since for moment in self.passed))

    def _call(self, worker: int, epoch: int) -> None:
        passes = sum(moment > self.now - 1 for moment in self.passed[-60:]) < self.limit
        (self.passed if passes else self.throttled).append(self.now)
        takes = 0.2 if passes else 0.005
        self._under_way.append((self.now + takes, worker, epoch, not passes))

    def _renew(self, worker: int, quota: SharedQuota, *, waiting: int) -> None:
        state = self._state
        told = QuotaState(
            state.limit_rps,
            self.now - self._lowered_at if state.limit_rps is not None else 0.0,
            state.epoch,
            state.calls,
            state.throttled,
        )
        others = [
            replace(lease, slot_seconds=lease.slot_seconds - self.now)
            for name, lease in self._leases.items()
            if name != worker
        ]
        quota._waiting.extend([cast("Any", None)] * waiting)  # on a clock that no loop knows
        self._state, renewed = quota.renew(told, others)
        quota._waiting.clear()
        if self._state.epoch > state.epoch:
            self._lowered_at = self.now
        at = self.now + renewed.lease.slot_seconds
        self._leases[worker] = replace(renewed.lease, slot_seconds=at)
        quota.apply_lease(renewed)
        self._renewed_at[worker], self._renew_at[worker] = self.now, self.now + 1


@pytest.mark.parametrize(("workers", "part"), [(1, 0.95), (4, 0.90)])
def test_a_quota_is_used_and_a_halved_one_is_found(workers: int, part: float) -> None:
    simulation = Simulation(workers, limit=50)
    simulation.run(3)
    settled = simulation.now
    simulation.run(17)
    assert simulation.rate(settled) >= part * 50
    assert simulation.refused(settled) <= 0.01
    simulation.limit = 25
    halved = simulation.now
    simulation.run(20)
    assert simulation.rate(halved) >= 0.85 * 25
    later = simulation.now - 15
    assert simulation.refused(later) <= 0.1
    simulation.limit = 50
    simulation.run(45)
    assert simulation.rate(simulation.now - 5) >= 0.85 * 50


@pytest.fixture
def history(pool: ConnectionPool) -> History:
    return History(pool)


@asynccontextmanager
async def limiting(
    history: History, rate: float = 50.0, **arguments: Any
) -> AsyncIterator[SharedRateLimiter]:
    """Yield a rate limiter whose leases a test renews itself."""
    threads = DaemonThreads("history", 1)
    try:
        yield SharedRateLimiter({"service": rate}, history, threads, **arguments)
    finally:
        threads.close()


@asynccontextmanager
async def hungry(limiter: SharedRateLimiter, calls: int = 16) -> AsyncIterator[None]:
    """Make a number of calls wait inside the block."""
    waiting = [asyncio.create_task(limiter.acquire("service")) for _ in range(calls)]
    await settle()
    yield
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def leasing(limiter: SharedRateLimiter) -> AsyncIterator[None]:
    """Leases are kept inside the block."""
    keeping = asyncio.create_task(limiter.keep_leases())
    yield
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait({keeping})


def frozen() -> float:
    """Return a time at which no permit is ever due after the first."""
    return 1_000.0


async def test_workers_divide_a_quota_and_the_dead_give_theirs_back(
    history: History, history_url: str
) -> None:
    async with (
        limiting(history, clock=frozen) as first,
        limiting(history, clock=frozen) as second,
        hungry(first),
    ):
        await first.renew()
        assert first.quotas["service"].share == pytest.approx(49)
        async with hungry(second):
            for limiter in (second, first, second, first, second):
                await limiter.renew()
            for limiter in (first, second):
                assert limiter.quotas["service"].share == pytest.approx(24.5)
            with psycopg.connect(history_url) as connection:  # the first dies, its lease expires
                connection.execute(
                    "UPDATE quota_leases SET expires_at = now() - interval '1 s' WHERE worker = %s",
                    [first.worker],
                )
            await second.renew()
            assert second.quotas["service"].share == pytest.approx(49)
    with psycopg.connect(history_url) as connection:
        [(workers,)] = connection.execute("SELECT count(*) FROM quota_leases").fetchall()
    assert workers == 1


async def test_what_throttling_taught_one_worker_holds_for_all(history: History) -> None:
    now = 1_000.0
    async with (
        limiting(history, clock=lambda: now) as first,
        limiting(history, clock=frozen) as second,
        hungry(second),
    ):
        first.try_acquire("service")
        for limiter in [first, second] * 3:  # until nothing changes any more
            await limiter.renew()
        for _ in range(100):
            now += 1
            permit = first.try_acquire("service")
            assert permit is not None
            permit.throttled()
        before = second.quotas["service"].share
        await first.renew()
        await second.renew()
        assert first.quotas["service"].epoch == second.quotas["service"].epoch == 1
        assert second.quotas["service"].share <= 0.75 * before


async def test_an_idle_worker_holds_nothing(history: History) -> None:
    now = 1_000.0
    async with limiting(history, clock=lambda: now) as limiter:
        await limiter.renew()
        assert limiter.quotas["service"].share == 0
        assert limiter.try_acquire("service") is not None
        await limiter.renew()
        assert limiter.quotas["service"].share == pytest.approx(49)
        now += 10
        await limiter.renew()
        assert limiter.quotas["service"].share == 0


async def test_a_worker_that_stops_gives_everything_back(
    history: History, history_url: str
) -> None:
    async with limiting(history) as limiter:
        async with leasing(limiter):
            await limiter.acquire("service")
            await until(lambda: limiter.quotas["service"].share > 0, what="a lease")
        with psycopg.connect(history_url) as connection:
            assert connection.execute("SELECT * FROM quota_leases").fetchall() == []


async def test_permits_are_given_first_come_first_served_at_the_rate() -> None:
    async with limiting(Away(), rate=500) as limiter:  # of which a tenth is used without a lease
        order: list[int] = []

        async def call(number: int) -> None:
            await limiter.acquire("service")
            order.append(number)

        began = time.monotonic()
        calls = [asyncio.create_task(call(number)) for number in range(6)]
        await settle()
        calls[2].cancel()
        await asyncio.wait(calls)
        assert order == [0, 1, 3, 4, 5]
        assert time.monotonic() - began >= 3 / 50


KILLED = """
import asyncio, sys
from retinue_history import ConnectionPool, History
from retinue_workers.limits.rate_limits.shared_limiter import SharedRateLimiter
from retinue_workers.limits.threads import DaemonThreads

async def main():
    history = History(ConnectionPool(sys.argv[1]))
    limiter = SharedRateLimiter({"service": 50.0}, history, DaemonThreads("history", 1))
    keeping = asyncio.create_task(limiter.keep_leases())
    while True:
        await limiter.acquire("service")
        if limiter.quotas["service"].share:
            print(limiter.worker, flush=True)

asyncio.run(main())
"""


async def test_the_share_of_a_worker_that_is_killed_is_free_within_seconds(
    history: History, history_url: str
) -> None:
    program = [sys.executable, "-c", KILLED, history_url]
    async with limiting(history) as limiter:
        quota = limiter.quotas["service"]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            await asyncio.to_thread(other.stdout.readline)
            async with hungry(limiter, 3_000), leasing(limiter):
                await until(
                    lambda: 10 < quota.share < 40, within_seconds=30, what="a share beside it"
                )
                other.send_signal(signal.SIGKILL)
                await until(
                    lambda: quota.share == pytest.approx(49),
                    within_seconds=30,
                    what="the whole quota",
                )


class Away(History):
    """A history that is away."""

    def __init__(self) -> None:
        self.asked = 0

    def renew_leases(self, *_: object) -> None:
        self.asked += 1
        raise HistoryUnavailableError("away")


async def test_without_a_database_calls_go_on_carefully(
    monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(shared_limiter, "SOONEST_SECONDS", 0.01)
    history = Away()
    async with limiting(history, rate=1_000) as limiter, leasing(limiter):
        began = time.monotonic()
        for _ in range(20):
            await limiter.acquire("service")
        assert time.monotonic() - began >= 18 / 100, "at a tenth of the quota"
        await until(lambda: history.asked >= 2)
    events = [entry["event"] for entry in logged]
    assert events == ["rate_limit_lease_lost"], "it says so once"


def test_a_lease_that_cannot_be_renewed_is_halved() -> None:
    now = 0.0
    quota = SharedQuota("worker", 50, clock=lambda: now)
    _, renewed = quota.renew(QuotaState(None, 0.0, 0, 0, 0), [])
    quota.apply_lease(renewed)

    def rate(seconds: int = 4) -> float:
        """Return calls a second that pass if one is tried each millisecond."""
        nonlocal now
        passed = 0
        for _ in range(seconds * 1_000):
            now += 0.001
            passed += quota.try_acquire() is not None
        return passed / seconds

    quota.degrade()
    assert rate() == pytest.approx(49, rel=0.05)
    now += 6.0
    quota.wants()  # even if the database says neither yes nor no
    assert rate() == pytest.approx(24.5, rel=0.05)
    for _ in range(150):
        while (epoch := quota.try_acquire()) is None:
            now += 0.001
        quota.throttled(epoch)
    quota.degrade()
    assert rate() < 20


async def test_a_quota_that_no_detector_names_is_refused() -> None:
    async with limiting(Away()) as limiter:
        with pytest.raises(ValueError, match="no quota 'other'"):
            limiter.try_acquire("other")
        with pytest.raises(ValueError, match="no quota 'other'"):
            await limiter.acquire("other")


# Permits inside the calls of a detector.


class Calling:
    """The common base of both kinds of detector that call a service with a quota.

    Attributes:
        calls_each: How many calls it makes for an image.
        called: How many it has made.
    """

    name: ClassVar[str] = "calling"
    version: ClassVar[str] = "1"
    capabilities: Any = Capabilities(Input.REFERENCE, max_concurrency=8, quotas={"service": 1.0})
    calls_each = 1
    called = 0


class CallingThread(Calling, Detector[DetectorOptions]):
    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        for _ in range(self.calls_each):
            with self.rate_limited("service"):
                self.called += 1
        return [Findings() for _ in images]


class CallingCoroutine(Calling, AsyncDetector[DetectorOptions]):
    async def detect(self, image: Image) -> Findings:
        for _ in range(self.calls_each):
            async with self.rate_limited("service"):
                self.called += 1
        return Findings()


@pytest.fixture(params=[CallingThread, CallingCoroutine], ids=["thread", "coroutine"])
def calling(request: pytest.FixtureRequest) -> Any:
    """Return a detector of either kind."""
    return request.param(DetectorOptions())


@asynccontextmanager
async def limited(
    detector: Any, *, rate: float, timeout: float = 20.0
) -> AsyncIterator[DetectorRunner]:
    """Run a detector of whose quota a tenth is used, as there is no lease."""
    gate, threads = ReceiveGate(), DaemonThreads("history", 1)
    prefetch = Prefetch(threads=1, max_images=10)
    runner = DetectorRunner(
        detector,
        timeout_seconds=timeout,
        gate=gate,
        budget=Budget(MemoryHistory(), threads, gate),
        prefetch=prefetch,
        filters=Filters(),
        successes=Successes(),
    )
    limiter = SharedRateLimiter({"service": rate}, Away(), threads)
    detector.rate_limiter = CallRateLimiter(limiter, runner)
    await runner.start()
    try:
        yield runner
    finally:
        runner.stop_calling()
        await runner.close(time.monotonic() + 5)
        prefetch.close()
        threads.close()


async def test_waiting_for_a_permit_is_neither_the_calls_time_nor_its_duration(
    calling: Any,
) -> None:
    async with limited(calling, rate=60, timeout=0.5) as runner:
        began = time.monotonic()
        answers = await asyncio.gather(*(runner.detect(work.task()) for _ in range(5)))
        assert time.monotonic() - began >= 3 / 6, "they waited longer than a call may take"
        assert [said(answer.value) for answer in answers] == ["ok"] * 5
        assert max(answer.duration_ms for answer in answers) < 500


async def test_a_stop_ends_the_wait_for_a_first_permit(calling: Any) -> None:
    async with limited(calling, rate=0.01) as runner:
        answers = [asyncio.create_task(runner.detect(work.task())) for _ in range(3)]
        await until(lambda: calling.called == 1)
        await asyncio.sleep(0.02)
        runner.stop_calling()
        values = [said((await answer).value) for answer in answers]
        assert sorted(values) == ["StoppedError", "StoppedError", "ok"]  # threads come in any order
        assert calling.called == 1


async def test_a_stop_lets_a_call_finish_that_has_called_its_service(calling: Any) -> None:
    calling.calls_each = 3
    async with limited(calling, rate=100) as runner:
        answer = asyncio.create_task(runner.detect(work.task()))
        await until(lambda: calling.called == 1)
        runner.stop_calling()
        assert said((await answer).value) == "ok"
        assert calling.called == 3


async def test_no_first_permit_is_given_after_the_stop(calling: Any) -> None:
    async with limited(calling, rate=1_000) as runner:
        entered, real = asyncio.Event(), runner._values

        async def late(*arguments: Any) -> Any:
            entered.set()
            await asyncio.sleep(0.02)
            return await real(*arguments)

        runner._values = late
        answer = asyncio.create_task(runner.detect(work.task()))
        await entered.wait()
        runner.stop_calling()
        assert said((await answer).value) == "StoppedError"
        assert calling.called == 0
