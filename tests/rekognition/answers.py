"""Answers that Rekognition might send, and what must be true of their findings."""

import json
from typing import Any

from botocore.model import Shape
from hypothesis import strategies as st
from retinue_sdk import Findings


def storable(findings: Findings) -> None:
    """Check that all values are JSON that Postgres accepts."""
    kept = [findings.raw_response, [detection.attributes for detection in findings.detections]]
    text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode()


def any_value(shape: Shape) -> st.SearchStrategy[Any]:
    """Anything the service might send for a shape: also nulls, gaps, unknown fields, extremes."""
    match shape.type_name:
        case "structure":
            known = {key: st.none() | any_value(member) for key, member in shape.members.items()}
            new = st.dictionaries(
                st.sampled_from(["New", "Id"]), st.integers() | st.text(), max_size=1
            )
            value = st.tuples(new, st.fixed_dictionaries({}, optional=known)).map(
                lambda pair: pair[0] | pair[1]
            )
        case "list":
            value = st.lists(st.none() | any_value(shape.member), max_size=2)
        case "string":
            enum = shape.metadata.get("enum")
            value = st.sampled_from(enum) if enum else st.text(max_size=8)
            value |= st.sampled_from(["", "\0", "\ud800", "x" * 3_000])
        case "integer" | "long":
            value = st.integers(-1, 2**70)
        case "boolean":
            value = st.booleans()
        case _:
            value = st.floats() | st.floats(0, 100) | st.integers(0, 100)
    return value
