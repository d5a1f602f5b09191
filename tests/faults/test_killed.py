"""Workers that end at any moment, and as they should."""

import random
import time
from collections.abc import Callable

import pytest
from faults.site import Site

pytestmark = pytest.mark.timeout(300)


def test_killed_again_and_again_two_workers_do_all_of_it_once(
    make_site: Callable[..., Site],
) -> None:
    chance = random.Random(6)
    site = make_site(max_receive_count=1_000)
    site.upload(150)
    for _ in range(2):
        site.start({"echo": {"latency_ms": 60, "max_concurrency": 4}})
    for _ in range(5):
        before = site.done()
        site.until(lambda before=before: site.done() > before or site.counts() == (0, 0))
        time.sleep(chance.uniform(0, 0.3))
        site.kill(chance.choice(site.living()))
        site.start({"echo": {"latency_ms": 60, "max_concurrency": 4}})
    site.until_empty()
    site.stop()
    site.check()


def test_sigterm_finishes_or_hands_back_at_once(site: Site) -> None:
    site.upload(40)
    worker = site.start({"hostile-slow": {"seconds": 0.5, "max_concurrency": 2}})
    site.until(lambda: site.done() > 0)
    assert site.terminate(worker) < 30, "before ECS kills it"
    waiting, held = site.counts()
    assert held == 0, "what is not done is visible to others at once"
    assert waiting + site.done() == 40
    site.start({"hostile-slow": {"seconds": 0.01, "max_concurrency": 4}})
    site.until_empty()
    site.stop()
    site.check({"hostile-slow": {}})
