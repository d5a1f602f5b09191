"""The rows that every peer stores per image, and the statement for up to 100 messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import orjson

MOST_MESSAGES = 100
"""Most messages that one statement records."""

TABLES = """
    CREATE TABLE plain_images (key text PRIMARY KEY, uploaded_at timestamptz);
    CREATE TABLE plain_labels (
        key text, label text, confidence double precision, PRIMARY KEY (key, label)
    );
"""

RECORD = """
    WITH recorded AS (
        INSERT INTO plain_images
        SELECT * FROM json_to_recordset(%s) AS image(key text, uploaded_at timestamptz)
        ON CONFLICT DO NOTHING
    )
    INSERT INTO plain_labels
    SELECT * FROM json_to_recordset(%s) AS label(key text, label text, confidence float8)
    ON CONFLICT DO NOTHING
"""
"""Takes ``rows``. A message that is received twice changes nothing."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that S3 tells of."""

    bucket: str
    key: str
    uploaded_at: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A message, and the rows of its images for both tables."""

    receipt_handle: str
    images: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)

    def add(self, upload: Upload, labels: Sequence[Any]) -> None:
        """Add an image, with labels as Rekognition gives them."""
        self.images.append({"key": upload.key, "uploaded_at": upload.uploaded_at})
        for label in labels:
            confidence = label["Confidence"] / 100
            self.labels.append(
                {"key": upload.key, "label": label["Name"], "confidence": confidence}
            )


def uploads(body: str) -> list[Upload]:
    """Return the images that a message is about."""
    return [
        Upload(
            record["s3"]["bucket"]["name"],
            unquote_plus(record["s3"]["object"]["key"]),
            record["eventTime"],
        )
        for record in orjson.loads(body)["Records"]
    ]


def rows(messages: Sequence[Looked]) -> tuple[str, str]:
    """Return the rows of both tables as JSON: arrays took the client three times as long."""
    images = [row for message in messages for row in message.images]
    labels = [row for message in messages for row in message.labels]
    return orjson.dumps(images).decode(), orjson.dumps(labels).decode()


def deletes(messages: Sequence[Looked]) -> Iterator[list[dict[str, str]]]:
    """Yield the entries of DeleteMessageBatch, ten to a call."""
    for start in range(0, len(messages), 10):
        yield [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle}
            for number, message in enumerate(messages[start : start + 10])
        ]
