import hashlib
import json
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from retinue_cli.local import AwsEndpoint, LaptopError, Photograph, Upload, upload, wire

KEYS = [
    "plain.jpg",
    "with spaces and + plus.jpg",
    "a/b//c.jpg",
    "quotes ' \" and \\ backslash.jpg",
    "100% of #1 & more?.jpg",
    "emoji 🐈‍⬛ e\u0301 é.jpg",
    "<xml>&amp;.jpg",
    "é" * 510 + ".jpg",  # 1,024 bytes
]


def receive(endpoint: AwsEndpoint, queue_url: str, count: int) -> list[dict[str, object]]:
    """Return S3's records, of this many messages."""
    sqs = endpoint.client("sqs")
    bodies: list[dict[str, list[dict[str, object]]]] = []
    while len(bodies) < count:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
        assert answer.get("Messages"), "messages are missing"
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            body = json.loads(message["Body"])
            if body.get("Event") != "s3:TestEvent":
                bodies.append(body)
    return [record for body in bodies for record in body["Records"]]


def test_an_upload_arrives_as_a_raw_message_with_its_key(aws: AwsEndpoint, tmp_path: Path) -> None:
    wiring = wire(aws, "keys")
    photographs = []
    for number, key in enumerate(KEYS):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(f"image {number}".encode())
        photographs.append(Photograph(path, key))
    done: list[Upload] = []
    uploads = upload(aws, wiring.bucket, photographs, done.append)
    assert [u.photograph for u in uploads] == photographs
    assert sorted(done, key=uploads.index) == uploads
    for number, one in enumerate(uploads):
        assert one.error is None
        assert one.etag == hashlib.md5(f"image {number}".encode()).hexdigest()
        assert one.size_bytes == len(f"image {number}")

    records = receive(aws, wiring.queue_url, len(KEYS))
    found = {}
    for record in records:
        s3 = record["s3"]
        assert isinstance(s3, dict)
        assert str(record["eventName"]).startswith("ObjectCreated:")
        found[unquote_plus(s3["object"]["key"])] = s3["object"]["eTag"]
    assert found == {u.photograph.key: u.etag for u in uploads}

    aws.client("s3").delete_object(Bucket=wiring.bucket, Key=KEYS[1])
    [record] = receive(aws, wiring.queue_url, 1)
    assert str(record["eventName"]).startswith("ObjectRemoved:")
    head = aws.client("s3").head_object(Bucket=wiring.bucket, Key=KEYS[0])
    assert head["ContentType"] == "image/jpeg"


def test_wiring_twice_finds_all_and_brings_it_into_line(aws: AwsEndpoint) -> None:
    first = wire(aws, "twice", visibility_timeout_seconds=30)
    assert wire(aws, "twice", visibility_timeout_seconds=60) == first
    sqs, sns, s3 = aws.client("sqs"), aws.client("sns"), aws.client("s3")
    queue = sqs.get_queue_attributes(QueueUrl=first.queue_url, AttributeNames=["All"])["Attributes"]
    dead = sqs.get_queue_attributes(
        QueueUrl=first.dead_letter_queue_url, AttributeNames=["QueueArn"]
    )["Attributes"]
    assert queue["VisibilityTimeout"] == "60"
    redrive = json.loads(queue["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 2
    [statement] = json.loads(queue["Policy"])["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": first.topic_arn}}
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=first.topic_arn)["Subscriptions"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])
    assert attributes["Attributes"]["RawMessageDelivery"] == "true"
    assert s3.get_bucket_versioning(Bucket="twice").get("Status") in (None, "")


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(aws: AwsEndpoint) -> None:
    wiring = wire(aws, "redrive", visibility_timeout_seconds=0)
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=wiring.queue_url, MessageBody="{}")
    for _ in range(6):  # S3's test event is there as well
        sqs.receive_message(QueueUrl=wiring.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
    url = wiring.dead_letter_queue_url
    dead = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
    assert "{}" in [message["Body"] for message in dead["Messages"]]


def test_a_file_that_vanished_is_reported_and_stops_no_other(
    aws: AwsEndpoint, tmp_path: Path
) -> None:
    wiring = wire(aws, "vanished")
    (tmp_path / "there.png").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    photographs = [Photograph(tmp_path / n, n) for n in ("gone.png", "there.png", "folder.png")]
    gone, there, folder = upload(aws, wiring.bucket, photographs)
    assert gone.error == "No such file or directory"
    assert there.error is None
    assert folder.error == "Is a directory"


def test_a_large_file_is_streamed_in_one_piece(aws: AwsEndpoint, tmp_path: Path) -> None:
    wiring = wire(aws, "large")
    path = tmp_path / "large.TIFF"
    path.write_bytes(b"retinue!" * (9 * 2**17))
    [one] = upload(aws, wiring.bucket, [Photograph(path, "large.TIFF")])
    assert one.etag == hashlib.md5(path.read_bytes()).hexdigest()
    assert one.size_bytes == 9 * 2**20
    head = aws.client("s3").head_object(Bucket=wiring.bucket, Key="large.TIFF")
    assert (head["ContentLength"], head["ContentType"]) == (one.size_bytes, "image/tiff")


def test_without_bucket_or_endpoint_the_upload_ends_at_once(
    aws: AwsEndpoint, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    photographs = [Photograph(tmp_path / "a.png", f"{i}.png") for i in range(20)]
    with pytest.raises(LaptopError, match="no-such-bucket"):
        upload(aws, "no-such-bucket", photographs)
    nobody = AwsEndpoint("http://127.0.0.1:1")
    with pytest.raises(LaptopError, match="nothing at"):
        upload(nobody, "bucket", photographs[:1])
    with pytest.raises(LaptopError, match="cannot make bucket"):
        wire(nobody, "bucket")
