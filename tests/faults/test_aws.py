"""SQS, S3 and a detector's API are slow, broken, throttled or refuse; a clock steps."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.events import created, removed
from faults.clock import Clock, compiler
from faults.proxy import Breakage, Weather
from faults.site import DATA, Site
from retinue_cli.local import AwsEndpoint
from retinue_cli.local.local_service import LocalServiceProcess
from retinue_cli.local.processes import Processes
from retinue_cli.local.state import State
from retinue_sdk.plugins.manager import Plugins

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

BOTH: dict[str, dict[str, Any]] = {"echo": {}, "weigh": {"max_concurrency": 4}}

WEATHERS = (
    Weather(Breakage.SLOW, 1.0, 0.05),
    Weather(Breakage.HANG, 0.3, 0.5),
    Weather(Breakage.RESET, 0.3),
    Weather(Breakage.ERROR, 0.3),
    Weather(Breakage.THROTTLE, 0.01),
    Weather(Breakage.THROTTLE, 0.3),
    Weather(Breakage.LOSE_ANSWER, 0.2),
)


def test_sqs_and_s3_misbehave(make_site: Callable[..., Site]) -> None:
    # A receive whose answer is lost burns a receive; no worker can help that.
    site = make_site(max_receive_count=50)
    site.start(BOTH)
    site.upload(10, bytes_too=True)
    site.until_empty()
    for service in ("sqs", "s3"):
        for weather in WEATHERS:
            with site.proxy.weather(service, weather):
                site.upload(20, bytes_too=True)
                site.until(lambda: site.done() >= 2 * len(site.sent), 60, f"{service} {weather}")
    site.until_empty()
    site.stop()
    site.check(BOTH)
    # SQS is asked so seldom that chance may pass a weather by; S3 is asked for every image.
    assert sum(n for (service, _), n in site.proxy.struck.items() if service == "sqs") > 3
    assert sum(n for (service, _), n in site.proxy.struck.items() if service == "s3") > 20


def test_sqs_and_s3_go_away_altogether_and_come_back(site: Site) -> None:
    site.start(BOTH)
    for service in ("sqs", "s3"):
        for breakage in (Breakage.RESET, Breakage.HANG, Breakage.DENY):
            with site.proxy.weather(service, Weather(breakage, seconds=30)):
                before = site.proxy.struck[service, breakage]
                site.upload(10, bytes_too=True)
                site.until(
                    lambda s=service, b=breakage, n=before: site.proxy.struck[s, b] > n  # type: ignore[misc]
                )
            site.until_empty()
    site.stop()
    site.check(BOTH)


def test_one_image_that_is_refused_fails_alone(site: Site) -> None:
    """While S3 gives others out, neither the pool waits for it nor does it wait for ever."""
    site.start(BOTH)
    site.upload(10, bytes_too=True)
    site.until_empty()
    site.proxy.set("s3", Weather(Breakage.DENY, about="forbidden"))
    (forbidden,) = site.upload(1, "forbidden", bytes_too=True)
    site.upload(10, bytes_too=True)
    site.until_empty()
    site.stop()
    rows = site.rows(
        "SELECT detector, outcome, error_code, retryable FROM runs JOIN images USING (image_id) "
        "WHERE key = %s ORDER BY detector",
        forbidden,
    )
    assert [(row["detector"], row["error_code"], row["retryable"]) for row in rows] == [
        ("echo", None, False),
        ("weigh", "access_denied", True),
    ]
    assert site.done() == 2 * len(site.sent)
    assert not site.said("receiving_paused")


def test_the_first_image_after_a_start_is_refused(site: Site) -> None:
    """Whatever is done to workers meanwhile, and whenever readable images come."""
    site.start(BOTH)
    refused = site.upload_refused(1)
    site.until(lambda: site.said("receiving_paused"))
    for fault in ("pause", "kill", "none"):
        if fault == "pause":
            site.pause(site.living()[0], 3)
        elif fault == "kill":
            site.kill(site.living()[0])
            site.start(BOTH)
        time.sleep(1)
        assert site.done() <= 2
    site.upload(100, bytes_too=True)
    refused += site.upload_refused(3)
    site.until_empty()
    site.stop()
    site.check(BOTH, codes={(key, "weigh"): "access_denied" for key in refused})


def test_one_image_that_rekognition_cannot_read_fails_alone(
    make_site: Callable[..., Site], aws: AwsEndpoint, tmp_path: Path
) -> None:
    """First of all, among others, and alone after others."""
    state = State(tmp_path / "stand-in")
    state.prepare()
    labels = Plugins().make({"rekognition-labels": {"region": aws.region}})[0]
    assert labels.local_service is not None
    site = make_site()
    behind = AwsEndpoint(site.proxy.url)
    with LocalServiceProcess(
        labels.local_service, state, Processes(state), behind
    ) as local_service:
        site.proxy.upstream = {**site.proxy.upstream, "rekognition": local_service.url}
        detectors = {"rekognition-labels": {"endpoint_url": site.proxy.url}}
        refused = site.upload_refused(1)
        site.start(detectors)
        site.until(lambda: site.said("receiving_paused"))
        site.upload_pictures(60)
        site.until_empty()
        refused += site.upload_refused(1)
        site.until_empty()
        refused += site.upload_refused(2)
        site.upload_pictures(60)
        site.until_empty()
        site.stop()
    runs = site.rows("SELECT key, error_code FROM runs JOIN images USING (image_id)")
    failed = {row["key"]: row["error_code"] for row in runs if row["error_code"]}
    assert failed == dict.fromkeys(refused, "access_denied")
    assert len(runs) == len(site.sent)
    assert site.counts(site.dead_url) == (0, 0)


def test_twice_and_in_any_order(site: Site) -> None:
    keys = [f"image-{number:03}.jpg" for number in range(40)]
    site.proxy.set("sqs", Weather(Breakage.DUPLICATE, 0.5), Weather(Breakage.SHUFFLE))
    first = [created(key, bucket=site.bucket, size=len(DATA)) for key in keys]
    gone = [removed(key, bucket=site.bucket) for key in keys[:5]]
    site.sent.extend(keys)
    site.announce([*gone, *first[::-1], *first, *gone])
    site.start()
    site.until_empty()
    site.stop()
    site.check()
    assert site.rows("SELECT count(*) AS n FROM images WHERE deleted_at IS NOT NULL")[0]["n"] == 5


def test_duplicates_that_two_workers_get_at_once(site: Site) -> None:
    """The same images announced four times over, while both work: S3 and SQS may do that."""
    site.proxy.set("sqs", Weather(Breakage.DUPLICATE, 0.5), Weather(Breakage.SHUFFLE))
    keys = [f"image-{number:03}.jpg" for number in range(60)]
    bodies = [created(key, bucket=site.bucket, size=len(DATA)) for key in keys]
    site.sent.extend(keys)
    options = {"echo": {"latency_ms": 30, "max_concurrency": 4}}
    for _ in range(2):
        site.start(options)
    for part in (bodies, bodies[::-1], bodies[30:] + bodies[:30], bodies):
        site.announce(part)
    site.until_empty()
    site.stop()
    site.check()
    assert len(site.said("run_recorded")) == len(keys), (
        "two workers met on an image, and one recorded it"
    )


def test_sns_misbehaves_and_whoever_publishes_tries_again(site: Site) -> None:
    """What SNS took and whose answer was lost comes twice; what it refused comes later."""
    site.start()
    for weather in WEATHERS:
        with site.proxy.weather("sns", weather):
            keys = [f"image-{len(site.sent) + number:03}.jpg" for number in range(15)]
            site.sent.extend(keys)
            site.publish([created(k, bucket=site.bucket, size=21) for k in keys])
    site.until_empty()
    site.stop()
    site.check()
    assert sum(n for (service, _), n in site.proxy.struck.items() if service == "sns") > 10
    assert site.proxy.struck["sns", Breakage.LOSE_ANSWER] > 0


def test_a_backlog_is_worked_off_while_sqs_throttles_a_third(site: Site) -> None:
    """With five receives a message: what was recorded is not dead because deletes were refused."""
    site.upload(1_000)
    site.proxy.set("sqs", Weather(Breakage.THROTTLE, 0.3))
    site.start()
    site.until_empty(180)
    site.proxy.clear()
    site.stop()
    site.check()
    assert site.proxy.struck["sqs", Breakage.THROTTLE] > 50


@pytest.mark.parametrize("breakage", [Breakage.ERROR, Breakage.DENY, Breakage.PARTLY])
def test_sqs_does_not_delete_after_the_commit(site: Site, breakage: Breakage) -> None:
    """For longer than the visibility timeout: messages stay hidden, and no receive is burned."""
    site.start()
    with site.proxy.weather("sqs", Weather(breakage, about="DeleteMessage")):
        site.upload(30)
        site.until(lambda: site.done() == 30)
        site.until(lambda: site.said("delete_failed"))
        time.sleep(8)
    site.until_empty()
    site.stop()
    site.check()
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}
    assert site.proxy.struck["sqs", breakage] > 1


@pytest.mark.parametrize("breakage", [Breakage.DENY, Breakage.HANG])
def test_sqs_extends_no_visibility(site: Site, breakage: Breakage) -> None:
    """Messages reappear while they are worked on: nobody receives them meanwhile."""
    slow = {"hostile-slow": {"seconds": 6, "max_concurrency": 10}}
    site.start(slow)
    with site.proxy.weather("sqs", Weather(breakage, seconds=1, about="ChangeMessageVisibility")):
        site.upload(10)
        site.until(lambda: site.said("receiving_paused"))
        site.until(lambda: site.done() == 10)
    site.until_empty()
    site.stop()
    site.check(slow)
    assert len(site.said("run_recorded")) == 10


def test_s3_sends_bodies_that_drip_break_or_are_huge(site: Site) -> None:
    """A minute is what the body of an image may take."""
    huge = {"RETINUE_MAX_IMAGE_BYTES": str(2**20)}
    site.start({"weigh": {"max_concurrency": 4}}, **huge)
    site.put("large.jpg", bytes(2**20 + 1))
    with site.proxy.weather("s3", Weather(Breakage.CUT, 0.5)):
        site.upload(20, bytes_too=True)
        site.until(lambda: site.done() == len(site.sent))
    with site.proxy.weather("s3", Weather(Breakage.DRIP)):
        site.upload(4, "dripping", bytes_too=True)
        site.until(
            lambda: any("dripping" in entry["reason"] for entry in site.said("detector_retried")),
            120,
        )
    site.until_empty()
    site.stop()
    site.check({"weigh": {}}, codes={"large.jpg": "too_many_bytes"})


def test_a_detectors_api_misbehaves(
    make_site: Callable[..., Site], aws: AwsEndpoint, tmp_path: Path
) -> None:
    state = State(tmp_path / "stand-in")
    state.prepare()
    labels = Plugins().make({"rekognition-labels": {"region": aws.region}})[0]
    assert labels.local_service is not None
    with LocalServiceProcess(labels.local_service, state, Processes(state), aws) as local_service:
        site = make_site(rekognition=local_service.url)
        options = {"endpoint_url": site.proxy.url, "read_timeout_seconds": 1}
        site.start({"rekognition-labels": options}, RETINUE_RETRY_WINDOW_SECONDS="300")
        for weather in (*WEATHERS, Weather(Breakage.DENY)):
            with site.proxy.weather("rekognition", weather):
                keys = site.upload_pictures(5)
                if weather.breakage is Breakage.DENY:
                    site.until(lambda: site.said("receiving_paused"))
                else:
                    site.until(lambda: site.done() == len(site.sent), 60, str(weather))
                assert keys
        site.until_empty()
        site.stop()
    runs = site.rows("SELECT outcome, error_code, count(*) AS n FROM runs GROUP BY 1, 2")
    assert [(row["outcome"], row["n"]) for row in runs] == [("succeeded", len(site.sent))]
    assert site.counts(site.dead_url) == (0, 0)


def test_a_clock_that_steps_changes_nothing(site: Site, tmp_path: Path) -> None:
    if compiler() is None and not os.environ.get("CI"):
        pytest.skip("there is no C compiler to build the clock that steps")
    clock = Clock(tmp_path)
    slow = {"hostile-slow": {"seconds": 0.1, "max_concurrency": 4}}
    site.start(slow, **clock.variables)
    for seconds in (3_600, -3_600, 86_400, -86_400, 0):
        site.upload(15)
        site.until(lambda: site.done() > len(site.sent) - 15)
        clock.step(seconds)
    site.until_empty()
    site.stop()
    site.check(slow)
    days = {entry["timestamp"][:10] for entry in site.said("run_recorded")}
    assert len(days) > 1, f"the clock did step: {json.dumps(sorted(days))}"
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}
