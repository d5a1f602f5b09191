"""The worker reads our messages as intended."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.replay.message import Request
from retinue_sdk import ImageReference
from retinue_workers.intake.s3_event import parse
from retinue_workers.work import ImageEvent

names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300
)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
references = st.builds(
    ImageReference,
    st.just("photos"),
    names.filter(lambda key: not key.endswith("/")),
    st.none() | ids.filter(lambda version: version != "null"),
    ids.map(lambda etag: etag.strip('"') or "e"),
)


@given(
    references,
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.integers(0, 2**62),
    st.none() | st.text("0123456789ABCDEF", min_size=1, max_size=64),
    st.none() | st.integers(0, 2**62).map(str),
    st.sets(st.sampled_from(["onnx-objects", "onnx-faces"])),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_a_request_arrives_as_it_was_meant(
    reference: ImageReference,
    created_at: datetime,
    size_bytes: int | None,
    sequencer: str | None,
    replay_id: str | None,
    detectors: set[str],
    served_at: datetime | None,
) -> None:
    body = Request(
        reference, created_at, size_bytes, sequencer, replay_id, detectors, served_at
    ).body()
    assert parse(body).problems == ()
    (event,) = parse(body).events
    assert event == ImageEvent(
        reference,
        size_bytes,
        sequencer,
        created_at,
        replay_id,
        frozenset(detectors) or None,
        served_at,
    )
    assert event.record().served_at == served_at
    assert event.event_id.startswith("replay:") == (replay_id is not None)
