"""Calls of AWS that are made very often, by a boto3 client's own rules at a tenth of their cost."""

from retinue_aws.calls import Answer, JsonCalls
from retinue_aws.json_text import read_json
from retinue_aws.sessions import new_session

__all__ = ["Answer", "JsonCalls", "new_session", "read_json"]
