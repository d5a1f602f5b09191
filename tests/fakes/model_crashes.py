"""Runs of a world in which workers die at random; the same for the same seed."""

import random
from dataclasses import dataclass

from retinue_workers.hosted_models.controller import LEASE_SECONDS, RECONCILE_SECONDS
from retinue_workers.settings.hosted_models import ModelPolicy

from fakes.model_world import START, World

REAP_EVERY = 900.0
"""Seconds between two turns of the reaper, as the infrastructure has them."""

HOURS = 4


@dataclass(frozen=True)
class CrashRun:
    """The result of a run with crashes.

    Attributes:
        deaths: Workers that died.
        reaped: Models that the reaper stopped.
        hosted_seconds: Unit seconds that were billed.
        leaked_seconds: Seconds that a model ran although nobody had kept it for longer than the
            bound: a lease, the reaper's interval, and one more for a model that was starting.
    """

    deaths: int
    reaped: int
    hosted_seconds: float
    leaked_seconds: float


def crash_run(seed: int, *, reaper: bool = True) -> CrashRun:
    """Four hours of one or two workers at a time that die at any step of their controllers."""
    chance = random.Random(seed)
    arrivals = [chance.uniform(0, 2 * 3_600) for _ in range(chance.randint(1, 20))]
    cooldown_seconds = chance.choice((0, 300, 2_400))
    world = World(
        ModelPolicy(idle_timeout_seconds=60, cooldown_seconds=cooldown_seconds), arrivals=arrivals
    )
    world.versions.start_seconds = chance.uniform(60, 900)
    born = chance.randint(1, 2)
    for _ in range(born):
        world.worker(chance.randint(1, 4_000))
    bound = LEASE_SECONDS + REAP_EVERY + max(REAP_EVERY, world.versions.start_seconds + REAP_EVERY)
    leaked, reaped = 0.0, 0
    next_reap, kept_at = START + chance.uniform(0, REAP_EVERY), START
    while world.clock.now < START + HOURS * 3_600:
        world.step()
        if world.controllers:
            kept_at = world.clock.now
        elif chance.random() < 0.001:
            world.worker(chance.randint(1, 4_000))
            born += 1
        if reaper and world.clock.now >= next_reap:
            reaped += sum(one.action == "stopped" for one in world.reap())
            next_reap += REAP_EVERY
        if world.status == "RUNNING" and world.clock.now - kept_at > bound:
            leaked += RECONCILE_SECONDS
    hosted = world.versions.billed_unit_seconds(world.arn)
    return CrashRun(born - len(world.controllers), reaped, hosted, leaked)
