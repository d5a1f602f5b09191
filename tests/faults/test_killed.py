"""Workers that end at any moment, and as they should."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from fakes.mp4 import video
from fakes.videos import BIKES
from faults.proxy import Breakage, Weather
from faults.site import STOPS_WITHIN_SECONDS, Site
from faults.steps import afflicted

pytestmark = pytest.mark.timeout(300)

OFTEN = pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.long)])


@OFTEN
def test_killed_again_and_again_two_workers_do_all_of_it_once(
    make_site: Callable[..., Site], kills: int
) -> None:
    chance = random.Random(6)
    site = make_site(max_receive_count=1_000)
    site.upload(30 * kills)
    for _ in range(2):
        site.start({"echo": {"latency_ms": 60, "max_concurrency": 4}})
    for _ in range(kills):
        before = site.done()
        site.until(lambda before=before: site.done() > before or site.counts() == (0, 0))
        time.sleep(chance.uniform(0, 0.3))
        site.kill(chance.choice(site.living()))
        site.start({"echo": {"latency_ms": 60, "max_concurrency": 4}})
    site.until_empty()
    site.stop()
    site.check()


@OFTEN
def test_killed_again_and_again_two_workers_pay_for_each_video_once(
    make_site: Callable[..., Site], tmp_path: Path, kills: int
) -> None:
    chance = random.Random(7)
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    detectors = {"disk-videos": {"folder": str(jobs)}}
    site = make_site(max_receive_count=1_000)
    clip = video(frames=1, rate=1)
    for number in range(12):
        site.put(f"{number}.mp4", clip)
    for _ in range(2):
        site.start(detectors)
    for _ in range(kills):
        before = len(list(jobs.iterdir()))
        site.until(lambda before=before: len(list(jobs.iterdir())) > before or site.done() == 12)
        time.sleep(chance.uniform(0, 0.4))
        site.kill(chance.choice(site.living()))
        site.start(detectors)
    site.until(lambda: site.done() == 12)
    site.until_empty()
    site.stop()
    site.check(detectors)
    assert len(list(jobs.iterdir())) == 12
    assert site.rows("SELECT FROM jobs") == []
    assert site.rows("SELECT sum(price_usd) AS usd FROM monthly_spending") == [
        {"usd": Decimal("1.20")}
    ]


def test_a_worker_killed_in_a_video_leaves_no_file_and_no_process(
    site: Site, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    video = '{"measure": {"every_ms": 200}}'
    worker = site.start({"measure": {}}, RETINUE_VIDEO=video, TMPDIR=str(temporary))
    site.put("bikes.mp4", BIKES.read_bytes())
    site.until(lambda: site.said("video_progress"))
    family = psutil.Process(worker.pid).children(recursive=True)
    assert family
    site.kill(worker)
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_hundreds_of_kills_over_thousands_of_images(make_site: Callable[..., Site]) -> None:
    """Three workers; each is killed soon after it began to work, or just before."""
    chance = random.Random(9)
    kills, images = 300, 3_000
    site = make_site(max_receive_count=1_000)
    options = {"echo": {"latency_ms": 20, "max_concurrency": 4}}
    for number in range(kills):
        site.upload(images // kills)
        while len(site.living()) < 3:
            site.start(options)
        time.sleep(chance.uniform(0, 1.2))
        site.kill(site.living()[0] if number % 3 else chance.choice(site.living()))
    while len(site.living()) < 3:
        site.start(options)
    site.until_empty(300)
    site.stop()
    site.check()
    assert len(site.sent) == images
    done_amid = sum(1 for entry in site.said("run_recorded"))
    assert done_amid > images / 2, "they did work between the kills"


def test_sigterm_finishes_or_hands_back_at_once(site: Site) -> None:
    site.upload(40)
    worker = site.start({"hostile-slow": {"seconds": 0.5, "max_concurrency": 2}})
    site.until(lambda: site.done() > 0)
    assert site.terminate(worker) < STOPS_WITHIN_SECONDS
    waiting, held = site.counts()
    assert held == 0, "what is not done is visible to others at once"
    assert waiting + site.done() == 40
    site.start({"hostile-slow": {"seconds": 0.01, "max_concurrency": 4}})
    site.until_empty()
    site.stop()
    site.check({"hostile-slow": {}})


def test_sigterm_while_a_model_loads_ends_at_once(site: Site) -> None:
    worker = site.start({"start-late": {}})
    site.until(lambda: site.said("model_loading"))
    assert site.terminate(worker) < STOPS_WITHIN_SECONDS


@pytest.mark.long
def test_sigterm_hands_back_what_outlasts_the_grace(site: Site) -> None:
    """Each detection takes a minute, the grace three seconds: nobody waits for the minute."""
    site.upload(12)
    worker = site.start({"hostile-slow": {"seconds": 60, "max_concurrency": 4}})
    site.until(lambda: site.counts()[1] == 12)
    assert site.terminate(worker) < STOPS_WITHIN_SECONDS
    assert site.counts() == (12, 0)
    site.start({"hostile-slow": {"seconds": 0.01, "max_concurrency": 4}})
    site.until_empty()
    site.stop()
    site.check({"hostile-slow": {}})


@pytest.mark.long
@pytest.mark.parametrize("fault", ["postgres away", "postgres freezes", "sqs", "s3"])
def test_sigterm_in_an_outage_ends_within_the_grace(site: Site, fault: str) -> None:
    """What is in flight cannot be committed; where SQS answers it is handed back at once."""
    detectors = {"echo": {"latency_ms": 50}, "weigh": {}}
    site.upload(200, bytes_too=True)
    worker = site.start(detectors)
    site.until(lambda: site.done() > 10)
    with ExitStack() as stack:
        if fault in ("sqs", "s3"):
            stack.enter_context(site.proxy.weather(fault, Weather(Breakage.HANG, seconds=60)))
        else:
            stack.enter_context(afflicted(fault, site.database, site.name))
        time.sleep(1)
        assert site.terminate(worker, STOPS_WITHIN_SECONDS) < STOPS_WITHIN_SECONDS
        if fault != "sqs":
            assert site.counts()[1] == 0, "all of it is visible to others"
    site.start(detectors)
    site.until_empty()
    site.stop()
    site.check(detectors)
