"""Check requests and answers against botocore's service model, as strictly as the service."""

import base64
import binascii
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel


@cache
def service_model() -> ServiceModel:
    """Return botocore's model of Rekognition."""
    return botocore.session.get_session().get_service_model("rekognition")


def operation_model(name: str) -> OperationModel | None:
    """Return the model of an operation; ``None`` if it doesn't exist."""
    model = service_model()
    return model.operation_model(name) if name in model.operation_names else None


def decoded(shape: Any, value: Any) -> Any:
    """Return a request's JSON with its blobs as bytes.

    Raises:
        ValueError: A blob isn't base64.
    """
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            return {
                key: decoded(shape.members[key], item) if key in shape.members else item
                for key, item in value.items()
            }
        case "list" if isinstance(value, list):
            return [decoded(shape.member, item) for item in value]
        case "blob" if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except binascii.Error as error:
                raise ValueError(str(error)) from error
    return value


def violations(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield the violations of a shape (of botocore's model) by a value."""
    where = path or shape.name
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            if not isinstance(value, dict):
                yield f"{where}: not an object"
                return
            for key in shape.required_members:
                if value.get(key) is None:
                    yield f"Value null at '{path}{key}' failed: Member must not be null"
            for key, item in value.items():
                if key not in shape.members:
                    yield f"{path}{key}: no such member"
                elif item is not None:
                    yield from violations(shape.members[key], item, f"{path}{key}.")
            return
        case "list":
            if not isinstance(value, list):
                yield f"{where}: not a list"
                return
            yield from _outside(limits, len(value), f"{where}: length")
            for number, item in enumerate(value):
                yield from violations(shape.member, item, f"{path}{number}.")
            return
        case "string":
            if not isinstance(value, str):
                yield f"{where}: not a string"
                return
            yield from _outside(limits, len(value), f"{where}: length")
            if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
                yield f"{where}: does not match {limits['pattern']}"
            if "enum" in limits and value not in limits["enum"]:
                yield f"{where}: {value} is none of {limits['enum']}"
        case "blob":
            if not isinstance(value, bytes):
                yield f"{where}: not a blob"
                return
            yield from _outside(limits, len(value), f"{where}: length")
        case "integer" | "long":
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{where}: not an integer"
                return
            yield from _outside(limits, value, where)
        case "float" | "double":
            if not isinstance(value, int | float) or isinstance(value, bool):
                yield f"{where}: not a number"
            elif not math.isfinite(value):
                yield f"{where}: not finite"
            else:
                yield from _outside(limits, value, where)
        case "boolean":
            if not isinstance(value, bool):
                yield f"{where}: not a boolean"


def _outside(limits: dict[str, Any], value: float, where: str) -> Iterator[str]:
    if "min" in limits and value < limits["min"]:
        yield f"{where}: {value} is less than {limits['min']}"
    if "max" in limits and value > limits["max"]:
        yield f"{where}: {value} is more than {limits['max']}"
