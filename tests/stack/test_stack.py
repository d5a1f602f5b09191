"""The environment `dev`, and a pool for videos, from Terraform to rows and back to nothing.

The tests follow one another, in this order.
"""

import json
import signal
from fnmatch import fnmatchcase
from typing import Any

from fakes.mp4 import video
from fakes.waiting import eventually
from infra.deployer import CALLS, POLICIES, action
from retinue_cli.local.photographs import package_photographs
from retinue_deploy.operate import run_command
from stack.conftest import Cloud
from stack.differences import not_seen, unexplained
from stack.ecs import SMOKE_PREFIX

DETECTORS = ("rekognition-faces", "rekognition-labels")
"""Those of the pool in `dev`."""

LABELS, VIDEO = "retinue-dev-labels", "retinue-dev-video"
"""The services."""

ODD_KEYS = ("a+b.jpg", "a photograph.jpg", "été/ñandú & co.jpg")
"""Keys that S3's events carry encoded."""


def test_it_is_deployed_and_looked_at_one_image(deployed: Cloud, history: Any) -> None:
    # The migrations came first, by the owner; then the worker, and the question of the analyst.
    logins = list(dict.fromkeys(deployed.gate.entered))
    assert logins == ["retinue_owner", "retinue_worker", "retinue_analyst"]
    looked_at = "SELECT detector, outcome FROM runs JOIN images USING (image_id) ORDER BY 1"
    assert history(looked_at) == [(detector, "succeeded") for detector in DETECTORS]


def test_photographs_become_rows(deployed: Cloud, history: Any) -> None:
    photographs = package_photographs()
    keys = {photograph.key: photograph.path for photograph in photographs}
    keys |= dict.fromkeys(ODD_KEYS, next(p.path for p in photographs if p.path.suffix == ".jpg"))
    assert deployed.services is not None
    worker, log = deployed.services.workers[LABELS], deployed.services.log(LABELS)
    storage = deployed.client("s3")
    for key, path in keys.items():
        storage.upload_file(str(path), deployed.outputs["bucket_name"], key)
    runs = (
        "SELECT key, detector, outcome FROM runs JOIN images USING (image_id) "
        f"WHERE key NOT LIKE '{SMOKE_PREFIX}%' ORDER BY 1, 2"
    )

    def done() -> bool:
        assert worker.poll() is None, log.read_text()
        return len(history(runs)) >= len(DETECTORS) * len(keys)

    eventually(done, within_seconds=300, what="a run of each detector on each photograph")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0, log.read_text()
    assert deployed.agent.requests[0]["ProtectionEnabled"]
    assert not deployed.agent.protected
    assert history(runs) == [
        (key, detector, "succeeded") for key in sorted(keys) for detector in DETECTORS
    ]
    assert history("SELECT 1 FROM detections LIMIT 1")


def test_a_video_becomes_rows(deployed: Cloud, history: Any) -> None:
    assert deployed.services is not None
    worker, log = deployed.services.workers[VIDEO], deployed.services.log(VIDEO)
    # A small one, because ministack ignores ranges of versions and answers with the whole object.
    deployed.client("s3").put_object(
        Bucket=deployed.outputs["bucket_name"], Key="grey.mp4", Body=video(frames=250)
    )
    ended = "SELECT detector, outcome FROM runs JOIN images USING (image_id) WHERE key ~ 'mp4$'"

    def done() -> bool:
        assert worker.poll() is None, log.read_text()
        return bool(history(ended))

    # A worker looks at a job every 60 seconds. Rekognition's message makes it look immediately.
    eventually(lambda: '"job_hinted"' in log.read_text(), within_seconds=300, what="the message")
    eventually(done, within_seconds=300, what="the run on the video")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0, log.read_text()
    assert history(ended) == [("rekognition-video-labels", "succeeded")]
    assert history("SELECT duration_ms, codec FROM videos") == [(10_000, "h264")]
    assert history("SELECT 1 FROM detections WHERE start_ms < end_ms LIMIT 1")
    assert history("SELECT * FROM jobs") == []


def test_an_operator_asks_and_erases_in_the_network(deployed: Cloud, history: Any) -> None:
    def ask(*arguments: str, as_owner: bool = False) -> str:
        assert deployed.tasks is not None
        ecs, outputs = deployed.client("ecs"), deployed.outputs
        return run_command(
            deployed.tasks, ecs, outputs, arguments, pool="labels", as_owner=as_owner
        )

    assert ask("failures", "--since", "1d").strip()
    erased = f"SELECT count(*) FROM images WHERE key = '{ODD_KEYS[1]}'"
    assert history(erased) == [(1,)]
    uri = f"s3://{deployed.outputs['bucket_name']}/{ODD_KEYS[1]}"
    ask("forget", "--image", uri, "--yes", as_owner=True)
    assert history(erased) == [(0,)]


def test_a_second_plan_shows_no_change(deployed: Cloud) -> None:
    changes = deployed.deployment.changes()
    assert unexplained(changes, deployed.stack) == []
    assert not_seen(changes, deployed.stack) == []


def test_destroy_leaves_nothing(deployed: Cloud) -> None:
    deployed.deployment.destroy()
    assert deployed.deployment.addresses() == []
    assert remains(deployed) == {"buckets": [deployed.deployment.state_bucket]}


def remains(cloud: Cloud) -> dict[str, list[str]]:
    """Return the remaining resources by kind."""
    found = {
        "buckets": [b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"]],
        "topics": [t["TopicArn"] for t in cloud.client("sns").list_topics()["Topics"]],
        "queues": cloud.client("sqs").list_queues().get("QueueUrls", []),
        "log groups": [
            g["logGroupName"] for g in cloud.client("logs").describe_log_groups()["logGroups"]
        ],
        "alarms": [
            a["AlarmName"] for a in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
        ],
        "roles": [
            r["RoleName"]
            for r in cloud.client("iam").list_roles()["Roles"]
            if r["RoleName"].startswith("retinue")
        ],
        "secrets": [s["Name"] for s in cloud.client("secretsmanager").list_secrets()["SecretList"]],
        "databases": [
            d["DBInstanceIdentifier"]
            for d in cloud.client("rds").describe_db_instances()["DBInstances"]
        ],
        "services": cloud.client("ecs").list_services(cluster="retinue-dev")["serviceArns"]
        if cloud.client("ecs").list_clusters()["clusterArns"]
        else [],
        "networks": [
            v["VpcId"] for v in cloud.client("ec2").describe_vpcs()["Vpcs"] if not v["IsDefault"]
        ],
        "scaling": [
            t["ResourceId"]
            for t in cloud.client("application-autoscaling").describe_scalable_targets(
                ServiceNamespace="ecs"
            )["ScalableTargets"]
        ],
    }
    return {kind: names for kind, names in found.items() if names}


def test_the_deployer_may_make_each_call(deployed: Cloud) -> None:
    calls = deployed.calls.by_service()
    made = {action(service, one) for service, names in calls.items() for one in names}
    allowed = [
        name
        for file in ("plan", "deploy")
        for statement in json.loads((POLICIES / f"{file}.json").read_text("utf-8"))["Statement"]
        if statement["Effect"] == "Allow"
        for name in statement["Action"]
    ]
    missing = {one for one in made if not any(fnmatchcase(one, name) for name in allowed)}
    assert missing == set(), f"add them to {CALLS}"
