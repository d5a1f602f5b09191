"""No message whatever breaks the parser."""

import json
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from retinue_sdk import ImageReference
from retinue_workers.intake.s3_event import MalformedEventError, ParsedBody, parse
from retinue_workers.work import ImageEvent
from unit.workers.notifications import (
    ETAG,
    Json,
    created,
    event_bridge,
    notification,
    record,
    sns,
)

WRAPPINGS: list[Callable[[str], str]] = [
    lambda key: notification(record(key=quote_plus(key))),
    lambda key: notification(record(key=quote_plus(key, safe="/"))),
    lambda key: sns(notification(record(key=quote_plus(key)))),
    lambda key: sns(sns(notification(record(key=quote_plus(key))))),
    lambda key: event_bridge(key=key),
    lambda key: sns(event_bridge(key=key)),
]

keys = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=1_024
).filter(lambda key: len(key.encode()) <= 1_024)


@pytest.mark.parametrize("wrap", WRAPPINGS)
@given(key=keys)
@example(key="+ %2B%zz/日本\n.jpg")
@example(key="k" * 1_024)
@example(key="日" * 341)
def test_every_key_survives_every_wrapping(wrap: Callable[[str], str], key: str) -> None:
    assert created(wrap(key)).reference == ImageReference("photos", key, etag=ETAG)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\0", "null", "ObjectCreated:Put", "aws.s3", "s3:TestEvent"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def survives(body: str) -> None:
    try:
        parsed = parse(body)
    except MalformedEventError as error:
        parsed = ParsedBody(problems=(str(error),))
    for text in parsed.problems:
        assert 0 < len(text.encode()) < 1_000
    for event in parsed.events:
        assert event.event_id
        if isinstance(event, ImageEvent):
            assert event.reference.image_id.version == 8


@given(st.text())
def test_no_text_breaks_the_parser(body: str) -> None:
    survives(body)
    survives(sns(body))


@given(json_values)
def test_no_json_breaks_the_parser(value: Json) -> None:
    survives(json.dumps(value))
    survives(json.dumps({"Records": value}))
    survives(json.dumps({"Records": [value]}))
    survives(json.dumps({"Type": "Notification", "Message": value}))
    survives(json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": value}))


@given(st.data(), json_values)
def test_no_value_in_any_place_of_a_real_message_breaks_the_parser(
    data: st.DataObject, value: Json
) -> None:
    message = data.draw(
        st.sampled_from(
            [
                {"Records": [record(versionId="v")]},
                {"Records": [record("ObjectRemoved:Delete", versionId="v")]},
                json.loads(event_bridge()),
                json.loads(event_bridge("Object Deleted")),
            ]
        )
    )
    inner = json.loads(json.dumps(message))
    whole = inner
    while True:
        place = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else [0]))
        if not isinstance(inner[place], dict | list) or data.draw(st.booleans()):
            inner[place] = value
            break
        if not inner[place]:
            break
        inner = inner[place]
    survives(json.dumps(whole))
    survives(sns(json.dumps(whole)))
