"""A worker that hosts a model is killed at each step of the model's life, as the kernel does it.

The worker, the reaper and Postgres are real; Rekognition is the test endpoint. The controller looks
five times a second, so that it takes seconds; on its own clock it is in tests/models.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.site import Site
from retinue_cli.local import AwsEndpoint
from retinue_rekognition_emulator import Endpoint, StoredObject
from retinue_rekognition_emulator.versions import HOSTED
from retinue_workers.hosted_models.controller import LEASE_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

DETECTOR = "rekognition-custom-labels"
BRISK = Path(__file__).with_name("brisk_models")

STEPS = [
    "before the model is needed",
    "start asked for, without effect",
    "start asked for, with effect",
    "starting",
    "running",
    "image asked for",
    "image answered",
    "closing",
    "stop asked for, without effect",
    "stop asked for, with effect",
    "stopping",
    "stopped",
]


class Scene:
    """A worker with its model, and what kills the one at a step of the other."""

    def __init__(self, site: Site, cloud: Endpoint) -> None:
        self.site = site
        self.cloud = cloud
        self.versions = cloud.operations.versions
        self.versions.start_seconds, self.versions.stop_seconds = 2.0, 1.0
        self.arn = self.versions.add("birds", "v1").arn
        self.doomed: subprocess.Popen[bytes] | None = None
        self.variables = {
            "AWS_ENDPOINT_URL_REKOGNITION": cloud.url,
            "AWS_REGION": "us-east-1",
            "RETINUE_PLUGINS_DIR": str(BRISK),
        }

    def worker(self, **variables: str) -> subprocess.Popen[bytes]:
        detectors = {DETECTOR: {"project_version_arn": self.arn}}
        models = json.dumps({DETECTOR: {"cooldown_seconds": 0}})
        return self.site.start(
            detectors, RETINUE_HOSTED_MODELS=models, **self.variables | variables
        )

    @property
    def status(self) -> str:
        return self.versions.get(self.arn).status

    def kept(self) -> dict[str, Any]:
        rows = self.site.rows("SELECT * FROM models")
        return rows[0] if rows else {}

    def kill(self) -> None:
        """Kill the chosen worker, once."""
        if self.doomed is not None and self.doomed.poll() is None:
            self.site.kill(self.doomed)

    def kill_at(self, step: str) -> None:
        """Let the doomed worker live until then."""
        match step:
            case "before the model is needed":
                self.site.until(lambda: self.kept().get("holder"))
            case "starting":
                self.site.until(lambda: self.status == "STARTING")
            case "running":
                self.site.until(lambda: self.status == "RUNNING")
            case "closing":
                self.site.until(lambda: self.site.done())
                self.site.until(lambda: not self.kept()["serving"] and self.status == "RUNNING")
            case "stopping":
                self.site.until(lambda: self.status == "STOPPING")
            case "stopped":
                self.site.until(lambda: self.site.done() and self.status == "STOPPED")
            case _:  # the endpoint kills it
                self.doomed.wait(120)  # type: ignore[union-attr]
        self.kill()

    def trap(self, step: str) -> None:
        """Have the endpoint kill the worker while it waits for an answer."""
        what, _, when = step.partition(", ")
        operation = {
            "start asked for": "StartProjectVersion",
            "stop asked for": "StopProjectVersion",
            "image asked for": "DetectCustomLabels",
            "image answered": "DetectCustomLabels",
        }.get(what)
        if operation is None:
            return
        before = self.cloud.operations.known[operation]

        def trapped(*arguments: Any, **named: Any) -> Any:
            if self.doomed is None or self.doomed.poll() is not None:
                return before(*arguments, **named)
            if when == "without effect" or what == "image asked for":
                self.kill()
                raise RuntimeError("nobody waits for this answer")
            answer = before(*arguments, **named)
            self.kill()
            return answer

        self.cloud.operations.known[operation] = trapped

    def reap(self) -> str:
        """``retinue models reap``, as the infrastructure runs it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RETINUE_")}
        answer = subprocess.run(
            [sys.executable, "-m", "retinue_cli", "models", "reap"],
            env=environment
            | self.variables
            | {
                "AWS_ACCESS_KEY_ID": "AKIATEST",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "RETINUE_DATABASE_URL": self.site.database.worker_url(self.site.name),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def sessions(self) -> list[dict[str, Any]]:
        return self.site.rows("SELECT * FROM model_costs ORDER BY requested_at")

    def check(self) -> None:
        """Check that each image has one success, and each minute of the model is recorded."""
        found = self.site.rows(
            "SELECT key, outcome, model_version FROM runs JOIN images USING (image_id) ORDER BY key"
        )
        assert [(one["key"], one["outcome"], one["model_version"]) for one in found] == [
            (key, "succeeded", "v1") for key in sorted(self.site.sent)
        ]
        assert self.site.counts(self.site.dead_url) == (0, 0)
        assert all(one["stopped_at"] for one in self.sessions())
        recorded = sum(float(one["unit_minutes"]) for one in self.sessions()) * 60
        assert recorded >= self.versions.billed_unit_seconds(self.arn) - 0.5
        assert [one["model"] for one in self.sessions()] == [self.arn] * len(self.sessions())


@pytest.fixture
def scene(make_site: Callable[..., Site], aws: AwsEndpoint) -> Iterator[Scene]:
    s3 = aws.client("s3")

    def source(bucket: str, key: str, version: str | None) -> StoredObject | None:
        del version
        return StoredObject(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    with Endpoint(source=source) as cloud:
        yield Scene(make_site(max_receive_count=20), cloud)


@pytest.mark.parametrize("step", STEPS)
def test_the_reaper_stops_what_a_killed_worker_left(scene: Scene, step: str) -> None:
    scene.trap(step)
    scene.doomed = scene.worker()
    if step != STEPS[0]:
        scene.site.upload_pictures(3)
    scene.kill_at(step)
    said, deadline = [scene.reap()], time.monotonic() + 60
    # That it has stopped, the reaper writes down at its next turn.
    while scene.status in HOSTED or not all(one["stopped_at"] for one in scene.sessions()):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
        said.append(scene.reap())
    if step in {"starting", "running", "image asked for", "start asked for, with effect"}:
        assert any(one.startswith("stopped: ") for one in said), said
    if step == STEPS[0]:
        assert scene.sessions() == []
        scene.site.upload_pictures(3)

    scene.worker()
    scene.site.until_empty()
    scene.site.until(lambda: scene.site.done() == 3 and scene.status not in HOSTED)
    scene.site.until(lambda: all(one["stopped_at"] for one in scene.sessions()))
    scene.site.stop()
    scene.check()


@pytest.mark.parametrize("step", STEPS)
def test_another_worker_goes_on_where_a_killed_one_was(scene: Scene, step: str) -> None:
    scene.trap(step)
    scene.doomed = scene.worker()
    scene.site.until(lambda: scene.kept().get("holder"))
    scene.worker()
    if step != STEPS[0]:
        scene.site.upload_pictures(3)
    scene.kill_at(step)
    if step == STEPS[0]:
        scene.site.upload_pictures(3)
    scene.site.until_empty()
    scene.site.until(lambda: scene.site.done() == 3 and scene.status not in HOSTED)
    scene.site.until(lambda: all(one["stopped_at"] for one in scene.sessions()))
    scene.site.stop()
    scene.check()


def test_a_dead_controller_is_replaced_within_a_minute(scene: Scene) -> None:
    """By the controller's own clock, with nothing made brisk."""
    slow = {"RETINUE_PLUGINS_DIR": str(BRISK.parent / "plugins")}
    first = scene.worker(**slow)
    scene.site.until(lambda: scene.kept().get("holder"))
    holder = scene.kept()["holder"]
    scene.worker(**slow)
    time.sleep(5)
    assert scene.kept()["holder"] == holder
    scene.site.kill(first)
    killed_at = time.monotonic()
    scene.site.until(lambda: scene.kept()["holder"] != holder, 60)
    assert time.monotonic() - killed_at > LEASE_SECONDS / 2, "the lease was in force"
