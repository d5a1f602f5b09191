"""The emulator of Rekognition reads videos from S3 by ranges, and tells the ends of jobs by SNS."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from fakes.bare_mp4 import mp4
from retinue_cli.local import AwsEndpoint
from retinue_rekognition_emulator import Endpoint
from retinue_rekognition_emulator.video.notifications import sns_publisher
from retinue_rekognition_emulator.video.objects import s3_videos

ROLE = "arn:aws:iam::000000000000:role/publishes"


@pytest.fixture
def rekognition(aws: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a client of an endpoint that finds S3 and SNS by boto3's settings, as the program."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    with Endpoint(videos=s3_videos(), publish=sns_publisher()) as endpoint:
        endpoint.operations.video.jobs.least_seconds = 0.1
        yield boto3.client(
            "rekognition",
            endpoint_url=endpoint.url,
            config=Config(retries={"total_max_attempts": 1}),
        )
        assert endpoint.broken == []


def test_a_job(aws: AwsEndpoint, rekognition: Any) -> None:
    s3, sns, sqs = aws.client("s3"), aws.client("sns"), aws.client("sqs")
    name = f"videos-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    films = [mp4(frames=frames, header_first=False, content=bytes(200_000)) for frames in (75, 50)]
    versions = [
        s3.put_object(Bucket=name, Key="a film.mp4", Body=film)["VersionId"] for film in films
    ]
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )

    def start(**where: str) -> str:
        video = {"S3Object": {"Bucket": name, "Name": "a film.mp4"} | where}
        channel = {"SNSTopicArn": topic, "RoleArn": ROLE}
        return str(
            rekognition.start_label_detection(
                Video=video, JobTag="retinue/token", NotificationChannel=channel
            )["JobId"]
        )

    job = start(Version=versions[0])
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    told = json.loads(message["Body"])
    assert told.pop("Timestamp") > 1_700_000_000_000
    assert told == {
        "JobId": job,
        "Status": "SUCCEEDED",
        "API": "StartLabelDetection",
        "JobTag": "retinue/token",
        "Video": {"S3ObjectName": "a film.mp4", "S3Bucket": name},
    }
    done = rekognition.get_label_detection(JobId=job)
    assert done["VideoMetadata"]["DurationMillis"] == 3_000
    missing = rekognition.exceptions.InvalidS3ObjectException
    for where in ({"Name": "none.mp4"}, {"Version": str(uuid.uuid4())}):
        with pytest.raises(missing):
            start(**where)
