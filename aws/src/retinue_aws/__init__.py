"""Call AWS from coroutines, by a boto3 client's rules."""

from retinue_aws.client import AwsClient, S3Object
from retinue_aws.errors import find_credentials, is_misconfigured
from retinue_aws.http import BodyTooLargeError, TruncatedBodyError
from retinue_aws.json_text import JsonAnswer, encode_json, read_json
from retinue_aws.parser import UnreadableAnswerError
from retinue_aws.refusals import (
    ARCHIVED,
    TRANSIENT_KMS_ERROR,
    RefusedObjects,
    Reply,
    Verdict,
    neighbours,
)
from retinue_aws.sessions import new_session

__all__ = [
    "ARCHIVED",
    "TRANSIENT_KMS_ERROR",
    "AwsClient",
    "BodyTooLargeError",
    "JsonAnswer",
    "RefusedObjects",
    "Reply",
    "S3Object",
    "TruncatedBodyError",
    "UnreadableAnswerError",
    "Verdict",
    "encode_json",
    "find_credentials",
    "is_misconfigured",
    "neighbours",
    "new_session",
    "read_json",
]
