"""JSON is read and written as by Python's own module."""

import base64
import json
import math
import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from retinue_aws import encode_json, read_json

texts = st.text(st.characters())  # with NUL and unpaired surrogates
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


def read(reader: Any, text: bytes | str) -> Any:
    """Return what a reader returns, in a form in which NaN equals NaN and 1 is not 1.0."""
    try:
        return repr(reader(text))
    except (ValueError, RecursionError) as error:
        return "ValueError" if isinstance(error, ValueError) else "RecursionError"


@given(values, st.booleans(), st.booleans())
def test_values_are_read_as_python_reads_them(value: Any, ascii_only: bool, as_text: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    data = text.encode(errors="surrogatepass")
    assert read(read_json, text if as_text else data) == read(json.loads, text if as_text else data)


@given(st.binary() | st.text('{}[]",:\\u0123456789eE+-. \ttrufalsnNaIity'))
@example(b"\xef\xbb\xbf{}")
@example('{"a": 1, "a": 2}'.encode("utf-16"))
@example(b"1e400")
@example(b"[" * 2_000 + b"]" * 2_000)
@example(b"[" * 1_000_000)
@example(b'"\\ud800"')
@example("\ud800")
def test_invalid_json_is_refused_where_python_refuses_it(text: bytes | str) -> None:
    assume(not re.search(r"[0-9]{19}", str(text)))
    assert read(read_json, text) == read(json.loads, text)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_integers_that_no_service_has_are_read_as_floats(number: int) -> None:
    assert math.isclose(read_json(str(number)), number)


parameters = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def in_base64(value: object) -> str:
    """Return bytes as AWS's JSON protocols have them."""
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


@given(parameters)
@example({"Image": {"Bytes": b"\xff\x00"}, "None": None})
def test_parameters_are_written_as_python_writes_them(value: Any) -> None:
    assert json.loads(encode_json(value)) == json.loads(json.dumps(value, default=in_base64))


@pytest.mark.parametrize("value", [1j, {1}, object(), "\ud800", {1: 2}])
def test_what_is_no_parameter_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode_json({"Name": [value]})
