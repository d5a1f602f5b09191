"""Read and write JSON as services of AWS do."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(slots=True)
class JsonAnswer:
    """The answer of a service that speaks JSON.

    Attributes:
        body: The unchanged JSON object, including fields that botocore's model doesn't have.
        request_id: AWS's id of the request; empty if there is none.
    """

    body: dict[str, Any]
    request_id: str


def read_json(text: bytes | str) -> Any:
    """Return the result of ``json.loads``.

    Integers beyond 64 bits become floats. No service of AWS uses them.

    Raises:
        ValueError: It isn't JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # NaN, unpaired surrogates and other encodings than UTF-8, too


def encode_json(parameters: Mapping[str, Any]) -> bytes:
    """Return parameters of a call as JSON, with bytes in base64. Numbers must be finite.

    Raises:
        TypeError: A value is of a type that no parameter has, or a text isn't valid Unicode.
    """
    return orjson.dumps(parameters, _base64)


def _base64(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} can't be a parameter of AWS")
