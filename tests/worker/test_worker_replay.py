"""A replay: what failed is tried again, for the detectors that are asked for, and once."""

from datetime import UTC, datetime

from fakes.events import BUCKET, created, removed, sequencer
from fakes.rig import Rig
from retinue_cli.replay.message import Request
from retinue_sdk import ImageReference, Run

CHOSEN = {"echo": {}, "hostile-invalid-image": {}}


def replay(rig: Rig, replay_id: str, *detectors: str, sequence: str | None = None) -> None:
    """Asks for ``a.jpg`` as ``fakes.events`` created it."""
    reference = ImageReference(BUCKET, "a.jpg", None, "e1")
    created_at = datetime(2025, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
    rig.queue.send(Request(reference, created_at, 1, sequence, replay_id, detectors).body())


def test_even_what_was_final_is_tried_again_once_for_each_replay(
    rig: Rig, observed: list[Run]
) -> None:
    rig.queue.send(created("a.jpg"))
    rig.work_off(CHOSEN)
    assert len(observed) == 2
    for replay_id, runs in (("7", 2), ("7", 2), ("8", 3)):
        replay(rig, replay_id)
        rig.work_off(CHOSEN)
        assert len(rig.outcomes("hostile-invalid-image")) == runs
        assert rig.outcomes("echo") == ["succeeded"]
    assert rig.rows("SELECT count(*) AS n FROM images")[0]["n"] == 1


def test_only_the_detectors_that_are_asked_for_are_applied(rig: Rig) -> None:
    replay(rig, "0", "echo")
    rig.work_off(CHOSEN)
    assert rig.outcomes("echo") == ["succeeded"]
    assert rig.outcomes("hostile-invalid-image") == []


def test_a_replay_for_detectors_of_another_pool_is_done_at_once(rig: Rig) -> None:
    replay(rig, "0", "somebody-elses")
    rig.work_off(CHOSEN)
    assert rig.runs() == []


def test_what_was_removed_stays_removed(rig: Rig) -> None:
    first = sequencer()
    rig.queue.send(created("a.jpg", sequence=first))
    rig.queue.send(removed("a.jpg"))
    rig.work_off({"echo": {}})
    before = rig.rows("SELECT * FROM images")
    assert before[0]["deleted_at"] is not None
    replay(rig, "1", sequence=first)
    rig.work_off({"echo": {}, "hostile-invalid-image": {}})
    assert rig.rows("SELECT * FROM images") == before
