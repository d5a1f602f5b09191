"""Three calls in a row without an answer blame the detector; one poison image never does."""

import time
from uuid import uuid4

from fakes.deliveries import attempt
from fakes.object_store import client_error
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from retinue_workers.detectors.batch_queue import Schedule
from retinue_workers.detectors.hang_detector import HUNG_CALLS, LONGEST_PROBE_SECONDS, Silence


def test_one_image_never_blames_the_detector() -> None:
    silence, poison = Silence(), {uuid4()}
    assert not any(silence.hung(poison) for _ in range(100))


def test_different_images_in_a_row_do_and_an_answer_between_them_does_not() -> None:
    silence = Silence()
    for _ in range(5):
        assert not any(silence.hung({uuid4()}) for _ in range(HUNG_CALLS - 1))
        assert not silence.broken()
    assert [silence.hung({uuid4()}) for _ in range(HUNG_CALLS)][-1]
    assert silence.broken()
    assert not silence.fallen


def test_probes_come_ever_later() -> None:
    silence = Silence()
    waits = []
    for _ in range(30):
        silence.hung({uuid4()})
        waits.append(silence.probe_seconds())
    assert waits[:6] == [5, 5, 5, 10, 20, 40]
    assert waits[-1] == LONGEST_PROBE_SECONDS


def test_a_probe_is_one_attempt_alone_and_nothing_follows_before_it_is_over() -> None:
    schedule = Schedule(max_batch_size=10, requests_per_second=None)
    for _ in range(5):
        schedule.put(attempt())
    schedule.probe(time.monotonic())
    assert len(schedule.take()) == 1
    schedule.resume()
    assert len(schedule.take()) == 4


def test_an_image_that_is_refused_alone_fails_and_one_of_many_waits(memory_rig: Rig) -> None:
    forbidden = {"bad.jpg"}

    def fault(bucket: str, key: str) -> None:
        if key in forbidden:
            raise client_error("AccessDenied", 403)

    memory_rig.s3.fault = fault
    memory_rig.upload("good.jpg", b"x" * 10)
    with memory_rig.running({"bytes": {}}) as worker:
        memory_rig.wait_until_empty()
        memory_rig.upload("bad.jpg", b"x" * 10)
        memory_rig.wait_until_empty()
        assert not worker.pulse.state()[1].startswith("waits")
        forbidden.update(["good.jpg", *keys(3)])
        for key in keys(3):
            memory_rig.upload(key, b"x" * 10)
        eventually(lambda: "S3 refuses" in worker.pulse.state()[1])
