"""A whole worker with Rekognition's detectors: a real database, the endpoint, faults in between."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from retinue_history import ConnectionPool, History
from retinue_rekognition_emulator import Endpoint, Failure
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors import retry_policy

POINT = EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.02)
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)


@pytest.fixture
def rig(history_url: str) -> Iterator[Rig]:
    """Uploads go to a queue and an S3 in memory; the endpoint invents what their names say."""
    pool = ConnectionPool(history_url)
    rig = Rig(History(pool), url=history_url)
    rig.plugins = Plugins((POINT,))
    yield rig
    pool.close()


@pytest.fixture
def cloud() -> Iterator[Endpoint]:
    """Yield an endpoint for which every object exists."""
    with Endpoint() as served:
        yield served
        assert served.broken == []


def test_two_detectors_through_throttling_and_expired_credentials(
    rig: Rig, cloud: Endpoint
) -> None:
    options = {"endpoint_url": cloud.url, "requests_per_second": 1_000}
    wanted = {"rekognition-labels": options, "rekognition-faces": options}
    for key in keys(12):
        rig.upload(key)
    rig.upload("picture.webp")
    cloud.faults.fail_next("DetectLabels", *[Failure("ThrottlingException")] * 5, Failure("reset"))
    with rig.running(wanted):
        eventually(lambda: cloud.calls["DetectFaces"] > 0, what="faces to be looked for")
        cloud.faults.accepted_key_ids = frozenset({"AKIARENEWED"})
        for key in keys(12, "late"):
            rig.upload(key)
        eventually(
            lambda: cloud.errors["UnrecognizedClientException"] > 1, what="credentials to expire"
        )
        cloud.faults.accepted_key_ids = None
        rig.wait_until_empty()
    for name in wanted:
        assert rig.outcomes(name) == ["succeeded"] * 24 + ["unsupported_format"]
    [cost] = rig.rows("SELECT sum(price_usd) AS usd FROM runs WHERE outcome = 'succeeded'")
    assert float(cost["usd"]) == pytest.approx(48 * 0.001)
    assert rig.rows("SELECT 1 FROM detections WHERE kind = 'label' AND box_left IS NULL LIMIT 1")
    [version] = rig.rows(
        "SELECT DISTINCT model_version FROM runs "
        "WHERE detector = 'rekognition-labels' AND outcome = 'succeeded'"
    )
    assert version["model_version"] == "3.0"
