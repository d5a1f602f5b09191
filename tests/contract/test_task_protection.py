"""Scale-in protection, against the ECS agent's endpoint as AWS describes it."""

import asyncio
from collections.abc import Iterator

import pytest
from fakes.ecs_agent import EcsAgent
from fakes.waiting import eventually
from retinue_workers.ops import task_protection
from retinue_workers.ops.task_protection import (
    EXPIRES_MINUTES,
    IDLE_SECONDS,
    LONGEST_SECONDS,
    PAUSE_SECONDS,
    RENEW_SECONDS,
    RETRY_SECONDS,
    TaskProtection,
)
from retinue_workers.work import Message

PROTECT = {"ProtectionEnabled": True, "ExpiresInMinutes": EXPIRES_MINUTES}
LIFT = {"ProtectionEnabled": False}
MESSAGE = Message("id", "handle", "body", 1)

InFlight = list[Message]


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def agent() -> Iterator[EcsAgent]:
    with EcsAgent() as running:
        yield running


@pytest.fixture
def in_flight() -> InFlight:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def protection(agent: EcsAgent, in_flight: InFlight, clock: Clock) -> TaskProtection:
    return TaskProtection(agent.variables["ECS_AGENT_URI"], in_flight, clock)


def test_a_task_is_protected_while_messages_are_in_flight(
    agent: EcsAgent, in_flight: InFlight, clock: Clock, protection: TaskProtection
) -> None:
    protection.reconcile()
    assert agent.requests == []
    in_flight.append(MESSAGE)
    protection.reconcile()
    protection.reconcile()
    assert agent.requests == [PROTECT]
    in_flight.remove(MESSAGE)
    clock.now = IDLE_SECONDS - 0.1
    protection.reconcile()
    assert agent.requests == [PROTECT], "a queue that comes in waves asks once"
    clock.now = IDLE_SECONDS
    protection.reconcile()
    protection.reconcile()
    assert agent.requests == [PROTECT, LIFT]


def test_it_is_renewed_before_it_expires(
    agent: EcsAgent, in_flight: InFlight, clock: Clock, protection: TaskProtection
) -> None:
    assert RENEW_SECONDS < EXPIRES_MINUTES * 60
    in_flight.append(MESSAGE)
    for clock.now in (0.0, RENEW_SECONDS - 1, RENEW_SECONDS, RENEW_SECONDS + 1):
        protection.reconcile()
    assert agent.requests == [PROTECT, PROTECT]


def test_a_task_that_is_never_idle_lets_a_deployment_through(
    agent: EcsAgent, in_flight: InFlight, clock: Clock, protection: TaskProtection
) -> None:
    in_flight.append(MESSAGE)
    while clock.now < LONGEST_SECONDS:
        protection.reconcile()
        clock.now += 10
    protection.reconcile()
    assert agent.requests[-1] == LIFT
    clock.now += PAUSE_SECONDS - 1
    protection.reconcile()
    assert agent.requests[-1] == LIFT
    clock.now += 1
    protection.reconcile()
    assert agent.requests[-1] == PROTECT


@pytest.mark.parametrize(
    "failure",
    [
        (200, {"failure": {"Arn": "arn", "Reason": "DEPLOYMENT_BLOCKED", "Detail": ""}}),
        (400, {"error": {"Code": "AccessDeniedException", "Message": "not authorized"}}),
        (500, {}),
    ],
)
def test_a_failure_is_asked_again_later(
    agent: EcsAgent,
    in_flight: InFlight,
    clock: Clock,
    protection: TaskProtection,
    failure: tuple[int, dict[str, object]],
) -> None:
    agent.failures.append(failure)
    in_flight.append(MESSAGE)
    for clock.now in (0.0, RETRY_SECONDS - 1, RETRY_SECONDS, RETRY_SECONDS + 1):
        protection.reconcile()
    assert agent.requests == [PROTECT, PROTECT]


def test_an_agent_that_is_away_harms_nobody(in_flight: InFlight) -> None:
    with EcsAgent() as gone:
        uri = gone.variables["ECS_AGENT_URI"]
    protection = TaskProtection(uri, in_flight)
    in_flight.append(MESSAGE)
    protection.reconcile()


def test_a_worker_that_stops_lifts_it(
    agent: EcsAgent, in_flight: InFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_protection, "_TICK_SECONDS", 0.01)
    for name, value in agent.variables.items():
        monkeypatch.setenv(name, value)
    protection = TaskProtection.of_this_task(in_flight)
    assert protection is not None
    in_flight.append(MESSAGE)
    agent.answering.clear()  # the worker stops while it asks

    async def work() -> None:
        protecting = asyncio.create_task(protection.run())
        await asyncio.to_thread(eventually, lambda: agent.protected, what="protection")
        protecting.cancel()
        asyncio.get_running_loop().call_later(0.05, agent.answering.set)
        await asyncio.wait({protecting})
        assert not agent.protected

    asyncio.run(work())


def test_a_message_that_is_done_before_the_next_look_protects_the_task(
    agent: EcsAgent, protection: TaskProtection
) -> None:
    protection.note_messages()
    protection.reconcile()
    assert agent.requests == [PROTECT]


def test_outside_ecs_there_is_none(in_flight: InFlight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    assert TaskProtection.of_this_task(in_flight) is None
