"""The environment `dev`, unchanged, from Terraform to rows and back to nothing.

The tests follow one another, in this order.
"""

import json
import signal
from typing import Any

from fakes.waiting import eventually
from retinue_workers.laptop.photographs import package_photographs
from stack.conftest import Cloud
from stack.differences import not_seen, unexplained
from stack.smoke import LocalTasks, smoke
from stack.task import TaskDefinition

ODD_KEYS = ("a+b.jpg", "a photograph.jpg", "été/ñandú & co.jpg")
"""Keys that S3's events carry encoded."""


def definition(cloud: Cloud, arn: str) -> TaskDefinition:
    return TaskDefinition(cloud.client("ecs"), cloud.client("secretsmanager"), arn)


def test_the_migrations_task_makes_the_tables(applied: Cloud) -> None:
    run = json.loads(applied.deployment.output()["migrate"])
    task = definition(applied, run["taskDefinition"])
    log = applied.folder / "migrations.log"
    assert task.start(applied.added, log).wait(300) == 0, log.read_text()
    assert set(applied.gate.entered) == {"retinue_owner"}


def test_photographs_become_rows(applied: Cloud, history: Any) -> None:
    output = applied.deployment.output()
    photographs = package_photographs()
    keys = {photograph.key: photograph.path for photograph in photographs}
    keys |= dict.fromkeys(ODD_KEYS, next(p.path for p in photographs if p.path.suffix == ".jpg"))
    task = definition(applied, output["pools"]["labels"]["task_definition_arn"])
    log = applied.folder / "worker.log"
    worker = task.start(applied.added, log)
    try:
        storage = applied.client("s3")
        for key, path in keys.items():
            storage.upload_file(str(path), output["bucket_name"], key)

        def done() -> bool:
            assert worker.poll() is None, log.read_text()
            return len(history("SELECT 1 FROM runs")) >= 2 * len(keys)

        eventually(done, within_seconds=300, what="a run of each detector on each photograph")
        assert task.is_well()
        tasks = LocalTasks(lambda arn: definition(applied, arn), applied.added, applied.folder)
        looked = smoke(applied.client, tasks, log).check(output, json.loads(output["migrate"]))
        assert looked.startswith("2 runs by rekognition-faces, rekognition-labels")
        assert applied.gate.entered[-1] == "retinue_analyst"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(120) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
    assert "retinue_worker" in applied.gate.entered
    assert applied.agent.requests[0]["ProtectionEnabled"]
    assert not applied.agent.protected
    runs = history(
        "SELECT key, detector, outcome FROM runs JOIN images USING (image_id) "
        "WHERE key NOT LIKE 'retinue-smoke/%' ORDER BY 1, 2"
    )
    assert runs == [
        (key, detector, "succeeded")
        for key in sorted(keys)
        for detector in ("rekognition-faces", "rekognition-labels")
    ]
    assert history("SELECT 1 FROM detections LIMIT 1")


def test_a_second_plan_shows_no_change(applied: Cloud) -> None:
    changes = applied.deployment.changes()
    assert unexplained(changes, applied.stack) == []
    assert not_seen(changes, applied.stack) == []


def test_destroy_leaves_nothing(applied: Cloud) -> None:
    # Emulators ignore `encoding-type=url` on ListObjectVersions, so the provider's own purge asks
    # for ever for a key with a plus sign. AWS does not.
    bucket = applied.deployment.output()["bucket_name"]
    storage = applied.client("s3")
    for page in storage.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            storage.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    applied.deployment.destroy()
    assert applied.deployment.addresses() == []
    assert remains(applied) == {"buckets": [applied.deployment.state_bucket]}


def remains(cloud: Cloud) -> dict[str, list[str]]:
    """What is still there, by kind."""
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
