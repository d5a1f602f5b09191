"""Detectors that are slow, hang, leak, raise or answer nonsense, in a whole worker."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from faults.site import Site

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_a_detection_longer_than_the_visibility_timeout_is_made_once(site: Site) -> None:
    slow = {"hostile-slow": {"seconds": 5, "max_concurrency": 6}}
    for _ in range(2):
        site.start(
            slow,
            RETINUE_VISIBILITY_TIMEOUT_SECONDS="2",
            RETINUE_HEARTBEAT_SECONDS="0.5",
            RETINUE_SHUTDOWN_GRACE_SECONDS="10",
        )
    site.upload(6)
    site.until_empty()
    site.stop()
    site.check(slow)
    assert len(site.said("run_recorded")) == 6
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}


def test_nonsense_is_recorded_beside_what_others_find(make_site: Callable[..., Site]) -> None:
    site = make_site(max_receive_count=2)  # one that raises is delivered as often
    detectors: dict[str, dict[str, Any]] = {
        "echo": {},
        "hostile-nan": {},
        "hostile-many": {"labels": 10_000},
        "hostile-wrong-length": {"max_batch_size": 4},
        "hostile-raises": {},
    }
    codes = dict.fromkeys(("hostile-nan", "hostile-many", "hostile-wrong-length"), "invalid_result")
    site.start(detectors)
    site.upload(3)
    site.until_empty()
    site.stop()
    site.check(detectors, codes=codes | {"hostile-raises": "unexpected_error"})


def test_a_detector_that_leaks_ends_its_own_process_alone(site: Site) -> None:
    detectors = {"echo": {}, "hostile-leaks": {"leaked_bytes": 2**24}}
    site.start(
        detectors,
        RETINUE_ISOLATION='{"hostile-leaks": {"max_memory_bytes": 134217728}}',
        RETINUE_DETECTOR_TIMEOUT_SECONDS="30",
    )
    site.upload(12)
    site.until_empty()
    site.stop()
    site.check(detectors)


def test_a_detector_that_hangs_burns_two_images_and_no_more(site: Site) -> None:
    """The third call in a row opens the breaker; a worker whose detector answers goes on."""
    hangs = {"hostile-hangs": {"max_concurrency": 2}}
    worker = site.start(hangs, RETINUE_DETECTOR_TIMEOUT_SECONDS="0.3")
    site.upload(12)
    site.until(lambda: site.said("receiving_paused"))
    time.sleep(2)
    assert site.done() == 2
    site.kill(worker)
    site.start({"hostile-hangs": {"seconds": 0, "max_concurrency": 2}})
    site.until_empty()
    site.stop()
    burned = site.rows(
        "SELECT key FROM runs JOIN images USING (image_id) WHERE error_code = 'detector_timeout'"
    )
    assert len(burned) == 2
    site.check(hangs, codes={row["key"]: "detector_timeout" for row in burned})
