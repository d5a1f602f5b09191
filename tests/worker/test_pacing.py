"""A quota is divided fairly, follows what the service lets through, and outlives its workers."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from fakes.waiting import eventually
from hypothesis import given
from hypothesis import strategies as st
from retinue_history import (
    History,
    HistoryUnavailableError,
    QuotaLease,
    QuotaState,
    create_history_engine,
)
from retinue_sdk.pacing import StoppedError
from retinue_workers.limits.rate_limits import shared_limiter as pacer_module
from retinue_workers.limits.rate_limits.fair_share import fair, share, turn
from retinue_workers.limits.rate_limits.quota import SharedQuota
from retinue_workers.limits.rate_limits.shared_limiter import SharedPacer

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
    assert turn("a", 10, [third, other]) is None
    assert turn("b", 10, [third, first, other]) == pytest.approx(0.04 + 0.1 / 3)
    assert turn("c", 10, [first, other]) == pytest.approx(0.04 + 0.1 / 2)


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
                quota.slots.waiting = 16 - busy
                if quota.slots.waiting and quota.slots.due() <= self.now:
                    self._call(worker, quota)
                if self._renew_at[worker] <= self.now:
                    self._renew(worker, quota)

    def rate(self, since: float) -> float:
        """Calls a second that passed since then."""
        return sum(moment >= since for moment in self.passed) / (self.now - since)

    def refused(self, since: float) -> float:
        """Part of the calls that was throttled since then."""
        throttled = sum(moment >= since for moment in self.throttled)
        return throttled / (throttled + sum(moment >= since for moment in self.passed))

    def _call(self, worker: int, quota: SharedQuota) -> None:
        quota.wants()
        quota.slots.grant()
        passes = sum(moment > self.now - 1 for moment in self.passed[-60:]) < self.limit
        (self.passed if passes else self.throttled).append(self.now)
        takes = 0.2 if passes else 0.005
        self._under_way.append((self.now + takes, worker, quota.called(), not passes))

    def _renew(self, worker: int, quota: SharedQuota) -> None:
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
        self._state, renewed = quota.renew(told, others)
        if self._state.epoch > state.epoch:
            self._lowered_at = self.now
        at = self.now + renewed.lease.slot_seconds
        self._leases[worker] = replace(renewed.lease, slot_seconds=at)
        quota.adopt(renewed)
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
def history(history_url: str) -> Iterator[History]:
    engine = create_history_engine(history_url)
    yield History(engine)
    engine.dispose()


def shared(history: History, rate: float = 50.0) -> SharedPacer:
    """A pacer whose leases a test renews itself."""
    return SharedPacer({"service": rate}, history)


def hungry(pacer: SharedPacer) -> None:
    """Sixteen calls wait."""
    pacer.quotas["service"].wants()
    pacer.quotas["service"].slots.waiting = 16


def test_workers_divide_a_quota_and_the_dead_give_theirs_back(
    history: History, history_url: str
) -> None:
    first, second = shared(history), shared(history)
    hungry(first)
    first.renew()
    assert first.quotas["service"].share == pytest.approx(49)
    hungry(second)
    second.renew()
    first.renew()
    second.renew()
    for pacer in (first, second):
        assert pacer.quotas["service"].share == pytest.approx(24.5)
    with psycopg.connect(history_url) as connection:  # the first dies, and its lease expires
        connection.execute(
            "UPDATE quota_leases SET expires_at = now() - interval '1 s' WHERE worker = %s",
            [first.worker],
        )
    second.renew()
    assert second.quotas["service"].share == pytest.approx(49)
    with psycopg.connect(history_url) as connection:
        [(workers,)] = connection.execute("SELECT count(*) FROM quota_leases").fetchall()
    assert workers == 1


def test_what_throttling_taught_one_worker_holds_for_all(history: History) -> None:
    first, second = shared(history), shared(history)
    for pacer in (first, second, first, second):
        hungry(pacer)
        pacer.renew()
    for _ in range(100):
        first.quotas["service"].throttled(first.quotas["service"].called())
    first.renew()
    second.renew()
    assert first.quotas["service"].epoch == second.quotas["service"].epoch == 1
    assert second.quotas["service"].share <= 0.5 * 24.5


def test_an_idle_worker_holds_nothing(history: History) -> None:
    now = 1_000.0
    pacer = SharedPacer({"service": 50.0}, history, clock=lambda: now)
    pacer.renew()
    assert pacer.quotas["service"].share == 0
    pacer.wait("service").accepted()
    pacer.renew()
    assert pacer.quotas["service"].share == pytest.approx(49)
    now += 10
    pacer.renew()
    assert pacer.quotas["service"].share == 0


def test_a_worker_that_stops_gives_everything_back(history: History, history_url: str) -> None:
    pacer = shared(history)
    pacer.start()
    pacer.wait("service")
    eventually(lambda: pacer.quotas["service"].share > 0, what="a lease")
    pacer.stop(5)
    with psycopg.connect(history_url) as connection:
        assert connection.execute("SELECT * FROM quota_leases").fetchall() == []


KILLED = """
import sys, time
from retinue_history import History, create_history_engine
from retinue_workers.limits.rate_limits.shared_limiter import SharedPacer
pacer = SharedPacer({"service": 50.0}, History(create_history_engine(sys.argv[1])))
pacer.start()
while True:
    pacer.wait("service")
    if pacer.quotas["service"].share:
        print(pacer.worker, flush=True)
"""


def test_the_share_of_a_worker_that_is_killed_is_free_within_seconds(
    history: History, history_url: str
) -> None:
    program = [sys.executable, "-c", KILLED, history_url]
    pacer = shared(history)
    quota = pacer.quotas["service"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        hungry(pacer)
        pacer.start()
        pacer.wait("service")
        eventually(lambda: quota.share > 10, within_seconds=60, what="a share beside the other")
        assert quota.share < 40
        other.send_signal(signal.SIGKILL)
    eventually(lambda: quota.share == pytest.approx(49), within_seconds=60, what="the whole quota")
    quota.slots.waiting = 0
    pacer.stop(5)


class Away(History):
    """A history that can be away."""

    def __init__(self) -> None:
        self.away = True

    def renew_leases(self, *_: object) -> None:
        raise HistoryUnavailableError("away")


def test_without_a_database_calls_go_on_carefully(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacer_module, "SOONEST_SECONDS", 0.01)
    pacer = shared(Away(), rate=1_000)
    pacer.start()
    for _ in range(20):
        pacer.wait("service").accepted()
    assert pacer.quotas["service"].slots._rate == 100
    pacer.stop(5)


def test_a_lease_that_cannot_be_renewed_is_halved(history: History) -> None:
    now = 0.0
    quota = SharedQuota("worker", 50, clock=lambda: now)
    _, renewed = quota.renew(QuotaState(None, 0.0, 0, 0, 0), [])
    quota.adopt(renewed)
    quota.alone()
    assert quota.slots._rate == pytest.approx(49)
    now = 6.0
    quota.wants()  # even if the database says neither yes nor no
    assert quota.slots._rate == pytest.approx(24.5)
    for _ in range(50):
        quota.throttled(quota.called())
    quota.alone()
    assert quota.slots._rate < 13


def test_a_call_that_waits_can_be_cancelled() -> None:
    pacer = shared(Away(), rate=0.001)
    pacer.wait("service")
    cancelled: Callable[[], bool] = lambda: True  # noqa: E731
    with pytest.raises(StoppedError):
        pacer.wait("service", cancelled)
    with pytest.raises(ValueError, match="no quota 'other'"):
        pacer.wait("other")
