"""The dead-letter queue: looked at without harm, and moved back without loss."""

import time

import pytest
from fakes.events import created
from redrive.conftest import Pool
from retinue_cli.replay import dead_letters
from retinue_cli.replay.dead_letters import UNRECORDED, DeadLetters, Moved, what_is_wrong
from retinue_sdk import ConfigurationError


def bury(pool: Pool, *bodies: str) -> None:
    for body in bodies:
        pool.sqs.send_message(QueueUrl=pool.dead_url, MessageBody=body)


def test_causes_are_told_and_messages_stay(pool: Pool) -> None:
    good = [created(f"{number}.jpg") for number in range(12)]
    bury(pool, *good, "not json", "neither is this", '{"Records": 1}')
    dead = DeadLetters(pool.sqs, pool.url)
    assert dead.count() == 15
    causes = dead.causes(100)
    assert [cause.messages for cause in causes] == [12, 2, 1]
    assert causes[0].reason == UNRECORDED
    assert "is not JSON" in causes[1].reason
    assert "not json" in causes[1].example or "neither" in causes[1].example
    assert "Records must be an array" in causes[2].reason
    assert len(pool.bodies(pool.dead_url)) == 15


def test_a_cause_is_told_without_what_differs_between_messages() -> None:
    first, second = (what_is_wrong(f'{{"{name}": 1}}') for name in ("hello", "greetings"))
    assert first == second
    assert first is not None
    assert first.startswith(
        "the message isn't an S3 event: it has neither Records nor the source aws.s3; "
    )


def test_moving_back_leaves_what_nobody_understands(pool: Pool) -> None:
    good = [created(f"{number}.jpg") for number in range(25)]
    bury(pool, *good, "not json")
    moved = Moved()
    assert sum(DeadLetters(pool.sqs, pool.url).move_back(moved)) == 26
    assert moved.messages == 25
    assert moved.left.total() == 1
    assert sorted(pool.bodies()) == sorted(good)
    assert pool.bodies(pool.dead_url) == ["not json"]


def test_a_message_that_comes_back_meanwhile_is_moved_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [created(f"{number}.jpg") for number in range(25)]
    bury(pool, *good)
    dead, moved = DeadLetters(pool.sqs, pool.url), Moved()
    moving = dead.move_back(moved)
    for _ in moving:  # a worker can't record any of them
        bury(pool, *pool.bodies())
        assert moved.messages + moved.returned <= 50
    assert (moved.messages, moved.returned) == (25, 25)
    assert sorted(pool.bodies(pool.dead_url)) == sorted(good)
    assert pool.bodies() == []


def test_messages_that_stay_are_counted_once_however_long_it_takes(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "HIDDEN_SECONDS", 0)
    bury(pool, *(f"not json {number}" for number in range(8)))
    moved = Moved()
    assert sum(DeadLetters(pool.sqs, pool.url).move_back(moved)) == 8
    assert moved.left.total() == 8


def test_the_rate_is_kept(pool: Pool) -> None:
    bury(pool, *(created(f"{number}.jpg") for number in range(25)))
    began = time.monotonic()
    list(DeadLetters(pool.sqs, pool.url).move_back(Moved(), per_second=20))
    assert time.monotonic() - began >= 20 / 20


def test_killed_between_sending_and_deleting_nothing_is_lost(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [created(f"{number}.jpg") for number in range(5)]
    bury(pool, *good)
    dead = DeadLetters(pool.sqs, pool.url)

    def killed(**_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(pool.sqs, "delete_message_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            list(dead.move_back(Moved()))
    assert sorted(pool.bodies()) == sorted(good)


def test_a_queue_without_one_is_told(pool: Pool) -> None:
    with pytest.raises(ConfigurationError, match="has no dead-letter queue"):
        DeadLetters(pool.sqs, pool.dead_url)


def test_a_queue_that_does_not_exist_is_a_wrong_setting(pool: Pool) -> None:
    with pytest.raises(ConfigurationError, match="RETINUE_QUEUE_URL"):
        DeadLetters(pool.sqs, f"{pool.url}-gone")
