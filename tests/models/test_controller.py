"""The model controller on a virtual clock: when it starts and stops, and what no crash can do."""

import pytest
from fakes.model_crashes import crash_run
from fakes.model_world import START, World
from retinue_rekognition.custom_model import STATES
from retinue_workers.hosted_models.controller import LEASE_SECONDS, RECONCILE_SECONDS
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.work import QueueDepth

AT_ONCE = ModelPolicy(cooldown_seconds=0, idle_timeout_seconds=120)


def test_it_runs_while_there_is_work_and_not_before_or_after() -> None:
    world = World(AT_ONCE, arrivals=[300.0, 301.0])
    name = world.worker()
    world.run(290)
    assert world.status == "TRAINING_COMPLETED"
    assert "no message waits" in str(world.gates[name])
    world.run(30)
    assert world.status == "STARTING"
    assert world.gates[name] == "the model is starting"
    world.run(620)
    assert world.status == "RUNNING"
    assert len(world.delays) == 2
    world.run(400)
    assert world.status == "STOPPED"
    [session] = world.sessions.all_sessions
    assert session.stop_requested_at is not None
    assert session.stopped_at is not None
    assert session.stop_reason == "the queue has been empty for 120 s"
    assert world.received_while_down == 0
    assert world.cloud.calls.count("start") == 1
    counted = (session.stopped_at - session.requested_at) * session.units
    assert counted >= world.versions.billed_unit_seconds(world.arn)


def test_messages_in_flight_keep_it_running() -> None:
    world = World(ModelPolicy(idle_timeout_seconds=30), arrivals=[0.0])
    world.worker()
    world.bad = [START + 3_000]
    world.run(2_900)
    assert world.status == "RUNNING"
    world.run(400)
    assert world.status == "STOPPED"


def test_during_the_cooldown_messages_wait_together() -> None:
    world = World(ModelPolicy(cooldown_seconds=2_400), arrivals=[0.0, 1_000.0, 1_500.0, 3_000.0])
    name = world.worker()
    world.run(900)
    assert world.status == "STOPPED", "the first starts it immediately: there was no cooldown"
    [first] = world.sessions.all_sessions
    world.run(300)
    assert "stopped: 1 message waits; the cooldown lasts" in str(world.gates[name])
    world.run(4_000)
    assert world.status == "STOPPED"
    _, second = world.sessions.all_sessions
    assert first.stopped_at is not None
    assert second.requested_at - first.stopped_at == pytest.approx(2_400, abs=RECONCILE_SECONDS)
    assert len(world.delays) == 4


def test_a_worker_that_is_new_knows_how_long_the_model_has_rested() -> None:
    world = World(ModelPolicy(cooldown_seconds=2_400), arrivals=[0.0, 1_000.0])
    name = world.worker()
    world.run(900)
    world.kill(name)
    world.worker()
    world.run(1_500)
    assert len(world.sessions.all_sessions) == 1
    world.run(1_500)
    assert len(world.sessions.all_sessions) == 2


def test_much_work_starts_a_model_that_rests() -> None:
    policy = ModelPolicy(cooldown_seconds=2_400, urgent_backlog=100)
    world = World(policy, arrivals=[0.0, *[1_000.0] * 100])
    world.worker()
    world.run(1_020)
    assert world.status == "STARTING"


def test_somebody_who_wants_it_need_not_wait_until_it_has_rested() -> None:
    world = World(ModelPolicy(cooldown_seconds=2_400), arrivals=[0.0])
    world.worker()
    world.run(900)
    world.sessions.keep_running(world.arn, START + 3_600)
    world.run(10)
    assert world.status == "STARTING"


@pytest.mark.parametrize("every_seconds", [2.0, 10.0, 20.0])
def test_images_that_trickle_in_do_not_keep_it_running(every_seconds: float) -> None:
    count = int(7_200 / every_seconds)
    world = World(ModelPolicy(), arrivals=[number * every_seconds for number in range(count)])
    world.worker()
    world.run(7_200)
    sessions = world.sessions.all_sessions
    assert len(sessions) == 3
    assert sessions[0].stop_reason == "it idled for 180 s more than it worked"
    assert world.usd < 4
    world.run(7_200)
    assert len(world.delays) == count
    assert world.status == "STOPPED"


def test_a_stream_that_keeps_it_busy_keeps_it_running() -> None:
    world = World(ModelPolicy(), arrivals=[number / 4 for number in range(4 * 7_200)])
    world.worker()
    world.run(7_200)
    assert world.status == "RUNNING"
    assert len(world.sessions.all_sessions) == 1


def test_few_messages_wait_until_they_are_many_or_old() -> None:
    policy = ModelPolicy(backlog=10, max_wait_seconds=1_800)
    world = World(policy, arrivals=[0.0, 5.0])
    name = world.worker()
    world.run(1_700)
    assert world.status == "TRAINING_COMPLETED"
    assert "starts when there are 10 or after 1800 s" in str(world.gates[name])
    world.run(150)
    assert world.status == "STARTING"
    many = World(policy, arrivals=[10.0] * 10)
    many.worker()
    many.run(30)
    assert many.status == "STARTING"


def test_only_in_windows() -> None:
    policy = ModelPolicy.model_validate({"windows": [{"cron": "0 6 * * *", "minutes": 60}]})
    world = World(policy, arrivals=[0.0])
    name = world.worker()
    world.run(60)
    assert "next window" in str(world.gates[name])
    until_six = (6 * 3_600 - START % 86_400) % 86_400
    world.clock.now = START + until_six - 10
    world.run(30)
    assert world.status == "STARTING"


@pytest.mark.parametrize(("waiting", "units"), [(1, 1), (5_000, 1), (5_001, 2), (90_000, 4)])
def test_units_follow_the_backlog(waiting: int, units: int) -> None:
    assert ModelPolicy(max_units=4).units(QueueDepth(waiting, 0)) == units


def test_a_policy_that_would_forget_images_is_refused() -> None:
    with pytest.raises(ValueError, match="wait forever"):
        ModelPolicy(backlog=2)
    with pytest.raises(ValueError, match="cron"):
        ModelPolicy.model_validate({"windows": [{"cron": "each day", "minutes": 1}]})


@pytest.mark.parametrize("status", sorted(STATES))
def test_every_status_has_a_clear_end(status: str) -> None:
    world = World(AT_ONCE, arrivals=[0.0])
    name = world.worker()
    world.versions.get(world.arn).status = status
    world.versions.get(world.arn).message = "as AWS says"
    world.run(3_600)
    starts = world.cloud.calls.count("start")
    assert starts <= 1
    if status in {"TRAINING_FAILED", "COPYING_FAILED", "DELETING", "DEPRECATED", "EXPIRED"}:
        assert starts == 0
        assert "never run" in str(world.gates[name])
        assert status in str(world.gates[name])
    if status in {"STOPPED", "TRAINING_COMPLETED", "COPYING_COMPLETED", "FAILED"}:
        assert world.delays


def test_failing_starts_are_bounded_and_say_why() -> None:
    world = World(AT_ONCE, arrivals=[0.0])
    world.versions.failing_starts.extend(["no capacity"] * 10)
    name = world.worker()
    world.run(6 * 3_600)
    assert world.cloud.calls.count("start") == AT_ONCE.max_failures
    assert "given up after 3 failed starts" in str(world.gates[name])
    assert "no capacity" in str(world.gates[name])
    world.versions.failing_starts.clear()
    world.sessions.keep_running(world.arn, None)  # `retinue models start`
    world.run(1_500)
    assert len(world.delays) == 1


def test_a_start_without_an_answer_that_took_effect_is_recognised() -> None:
    world = World(AT_ONCE, arrivals=[0.0])
    world.cloud.lost = True
    world.worker()
    world.run(1_200)
    assert world.cloud.calls.count("start") == 1
    assert len(world.sessions.all_sessions) == 1
    assert len(world.delays) == 1


def test_a_quota_that_is_reached_is_waited_for() -> None:
    world = World(AT_ONCE, arrivals=[0.0])
    world.versions.max_running = 0
    name = world.worker()
    world.run(600)
    assert "LimitExceededException" in str(world.gates[name])
    assert world.cloud.calls.count("start") <= 11
    world.versions.max_running = 2
    world.run(900)
    assert len(world.delays) == 1


def test_one_controller_acts_and_a_dead_one_is_replaced_within_a_minute() -> None:
    world = World(AT_ONCE, arrivals=[0.0])
    first, second = world.worker(), world.worker()
    world.run(640)
    assert world.cloud.calls.count("start") == 1
    assert world.gates[first] is None
    assert world.gates[second] is None
    assert world.sessions.rows[world.arn].holder == first
    world.kill(first)
    world.run(LEASE_SECONDS + 2 * RECONCILE_SECONDS)
    assert world.sessions.rows[world.arn].holder == second
    world.run(500)
    assert world.status == "STOPPED"


def test_a_model_of_another_pool_is_named_as_the_reason() -> None:
    world = World(AT_ONCE)
    first, second, other = (
        world.worker(queue="labels"),
        world.worker(queue="labels"),
        world.worker(),
    )
    world.run(60)
    for name in (first, second):
        assert str(world.gates[name]).endswith("no message waits for it")
    assert world.gates[other] == (
        "TRAINING_COMPLETED: stopped: no message waits for it. Workers of the queue labels control "
        "the model, and count only its messages: use a hosted model in one pool"
    )


def test_a_poison_message_costs_one_session() -> None:
    world = World(AT_ONCE, poison=[0.0])
    world.worker()
    world.run(86_400)
    assert world.cloud.calls.count("start") == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_crash_at_every_step_leaves_no_model_running(replaced: bool) -> None:
    """The worker dies before and after each call that its controller makes, wherever that is."""
    steps = 0
    while True:
        world = World(ModelPolicy(idle_timeout_seconds=30, cooldown_seconds=0), arrivals=[0.0])
        world.versions.start_seconds, world.versions.stop_seconds = 60, 20
        name = world.worker(steps)
        world.run(240)
        if name in world.controllers and not replaced:
            break
        if replaced:
            world.worker()
            world.run(400)
            assert len(world.delays) == 1
            if name in world.controllers:
                break
        world.run(LEASE_SECONDS)
        world.reap()
        world.run(90)
        world.reap()
        assert world.status in {"STOPPED", "TRAINING_COMPLETED"}, steps
        if replaced:
            assert all(session.stopped_at for session in world.sessions.all_sessions)
        steps += 7 if replaced else 1  # to take over takes longer to watch
    assert steps > 50


def test_random_crashes_leak_nothing_beyond_the_reapers_bound() -> None:
    runs = [crash_run(seed) for seed in range(20)]
    assert sum(run.leaked_seconds for run in runs) == 0
    assert sum(run.deaths for run in runs) > 20
    assert any(run.reaped for run in runs), "nothing was left running: the test shows nothing"
    assert runs[0] == crash_run(0), "the same seed, the same run"


def test_without_a_reaper_the_same_crashes_leak() -> None:
    assert sum(crash_run(seed, reaper=False).leaked_seconds for seed in range(20)) > 3_600
