"""Messages about the end of a video's job."""

import json
from typing import Any

import pytest
from retinue_workers.intake.s3_event import MalformedEventError, ParsedBody, parse
from retinue_workers.work import JobHint

MESSAGE = {
    "JobId": "a" * 64,
    "Status": "SUCCEEDED",
    "API": "StartLabelDetection",
    "JobTag": "retinue/token-1",
    "Timestamp": 1_767_225_600_000,
    "Video": {"S3ObjectName": "clip.mp4", "S3Bucket": "videos"},
}


def wrapped(message: dict[str, Any]) -> str:
    return json.dumps({"Type": "Notification", "Message": json.dumps(message)})


@pytest.mark.parametrize("write", [json.dumps, wrapped])
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "ERROR", "NEW_IN_2030", None])
def test_a_message_names_its_job_whatever_its_status(write: Any, status: str | None) -> None:
    parsed = parse(write(MESSAGE | {"Status": status, "Later": [1]}))
    assert parsed == ParsedBody(hint=JobHint("a" * 64, "token-1"))


@pytest.mark.parametrize("tag", [None, "", "another's", "retinue/", "Retinue/token-1"])
def test_another_tag_names_no_token(tag: str | None) -> None:
    assert parse(json.dumps(MESSAGE | {"JobTag": tag})).hint == JobHint("a" * 64)


def test_only_job_id_and_status_are_needed() -> None:
    assert parse('{"JobId": "1", "Status": ""}').hint == JobHint("1")


@pytest.mark.parametrize(
    "change", [{"JobId": 5}, {"JobId": ""}, {"JobId": "a\0"}, {"JobId": "x" * 2_000}, {"JobTag": 1}]
)
def test_a_message_that_names_no_job_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError, match=r"JobId|JobTag"):
        parse(json.dumps(MESSAGE | change))
