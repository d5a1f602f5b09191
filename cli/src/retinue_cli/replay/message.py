"""The message that requests an image, in S3's own format.

A worker reads it like any other (``s3_event.py``). The additional field ``retinue`` has values that
S3 doesn't have: the requested detectors, an id of the request, and when a listing showed the
object.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from retinue_history.analysis.failures import ReplayImage
from retinue_sdk import ImageReference


@dataclass(frozen=True, slots=True)
class Request:
    """A requested image.

    Attributes:
        reference: The object version.
        created_at: When S3 created it (aware).
        size_bytes: Its size in bytes, if known.
        sequencer: Of the event that created it, if known.
        replay_id: The id of the request, so that repeating it has no effect. With ``None``, only
            detectors that have not processed the image's creation event run.
        detectors: Names of the detectors to apply; empty for all of the pool.
        served_at: When a listing showed it as the current version (aware), if any.
    """

    reference: ImageReference
    created_at: datetime
    size_bytes: int | None = None
    sequencer: str | None = None
    replay_id: str | None = None
    detectors: Collection[str] = ()
    served_at: datetime | None = None

    def body(self) -> str:
        """Return the message's body."""
        reference = self.reference
        about: dict[str, Any] = {
            "key": quote_plus(reference.key),
            "size": self.size_bytes,
            "eTag": reference.etag,
            "versionId": reference.version_id,
            "sequencer": self.sequencer,
        }
        asked: dict[str, Any] = {}
        if self.replay_id is not None:
            asked["replayId"] = self.replay_id
        if self.detectors:
            asked["detectors"] = sorted(self.detectors)
        if self.served_at is not None:
            asked["servedAt"] = _text(self.served_at)
        record: dict[str, Any] = {
            "eventVersion": "2.1",
            "eventSource": "retinue",
            "eventTime": _text(self.created_at),
            "eventName": "ObjectCreated:Replay" if self.replay_id else "ObjectCreated:Backfill",
            "s3": {
                "bucket": {"name": reference.bucket},
                "object": {name: value for name, value in about.items() if value is not None},
            },
        }
        if asked:
            record["retinue"] = asked
        return json.dumps({"Records": [record]}, separators=(",", ":"))


def replay_body(image: ReplayImage) -> str:
    """Return the message that requests an image of the history again."""
    version_id = image.version if image.versioned else None
    reference = ImageReference(
        image.bucket, image.key, version_id, image.etag if image.versioned else image.version
    )
    # The newest failed run identifies the request. Repeating it has no effect until another run
    # has failed.
    return Request(
        reference,
        image.uploaded_at,
        image.size_bytes,
        image.sequencer,
        str(image.last_run_id),
        image.detectors,
    ).body()


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
