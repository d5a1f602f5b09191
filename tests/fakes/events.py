"""Message bodies as S3 writes them."""

import json
from itertools import count
from typing import Any
from urllib.parse import quote_plus

_sequencers = count(0x10)
BUCKET = "photos"


def sequencer() -> str:
    """Return a sequencer greater than all before it."""
    return f"{next(_sequencers):016X}"


def record(
    key: str,
    *,
    bucket: str = BUCKET,
    name: str = "ObjectCreated:Put",
    size: int | None = 1,
    etag: str | None = "e1",
    version_id: str | None = None,
    sequence: str | None = None,
) -> dict[str, Any]:
    """Return one record of a notification."""
    about = {
        "key": quote_plus(key),
        "size": size,
        "eTag": etag,
        "versionId": version_id,
        "sequencer": sequence or sequencer(),
    }
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2025-03-04T05:06:07.089Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": bucket},
            "object": {field: value for field, value in about.items() if value is not None},
        },
    }


def body(*records: dict[str, Any]) -> str:
    """Return a message with these records."""
    return json.dumps({"Records": records})


def created(key: str, **fields: Any) -> str:
    """Return a message that says that one object was created."""
    return body(record(key, **fields))


def removed(key: str, **fields: Any) -> str:
    """Return a message that says that one object was removed."""
    return body(record(key, name="ObjectRemoved:Delete", size=None, etag=None, **fields))


TEST_EVENT = json.dumps(
    {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2025-03-04T05:06:07.089Z",
        "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }
)
"""What S3 sends when a notification is configured."""
