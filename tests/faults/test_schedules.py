"""Random schedules of faults, each drawn from a seed that draws it again.

``make test-faults SEED=… SCHEDULES=…`` plays more of them, and those of another seed.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.clock import Clock, compiler
from faults.schedule import FAULTS, draw
from faults.site import Site
from faults.steps import Play

pytestmark = pytest.mark.long

SEED = int(os.environ.get("FAULTS_SEED", "2"))
SCHEDULES = int(os.environ.get("FAULTS_SCHEDULES", "1"))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if compiler() is None and not os.environ.get("CI"):
        pytest.skip("there is no C compiler to build the clock that steps")
    return Clock(tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_whatever_happens_every_image_is_done_once(
    seed: int, make_site: Callable[..., Site], clock: Clock
) -> None:
    schedule = draw(seed)
    print(schedule)  # noqa: T201 - pytest shows it when the test fails
    play = Play(schedule, make_site(max_receive_count=1_000, seed=seed), clock)
    try:
        play.play()
    except BaseException:
        print(f"again: make test-faults SEED={seed} SCHEDULES=1")  # noqa: T201
        raise


def test_a_seed_draws_the_same_schedule_each_time() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert {step.fault for seed in range(500) for step in draw(seed).steps} == set(FAULTS)
