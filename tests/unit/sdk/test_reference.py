"""The identity of an image, which anyone can compute."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import ImageReference

VERSIONED = ImageReference("photos", "cats/tom.jpg", "3HL4kqtJlcpXroDTDmJ")
UNVERSIONED = ImageReference("photos", "日本 +.jpg", etag="b1946ac92492d2347c6235b4d2611184")

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), min_size=1)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def test_the_ids_of_known_images_never_change() -> None:
    # Rows of years hang on these: a change here makes every image new.
    assert str(VERSIONED.image_id) == "4a5ca368-6fcd-8522-ace6-b7e4dae7a818"
    assert str(UNVERSIONED.image_id) == "1621fb2e-a4f5-8191-9ad8-b2c0504296f2"


def test_an_id_is_the_sha_256_of_bucket_version_and_key() -> None:
    digest = hashlib.sha256(b"photos\n3HL4kqtJlcpXroDTDmJ\ncats/tom.jpg").hexdigest()
    plain = VERSIONED.image_id.hex
    assert plain[:12] + plain[13:16] + plain[17:] == digest[:12] + digest[13:16] + digest[17:32]


@given(names, keys, names)
def test_every_id_is_a_uuid_of_version_8(bucket: str, key: str, version: str) -> None:
    image_id = ImageReference(bucket, key, version).image_id
    assert image_id.version == 8
    assert image_id.variant == "specified in RFC 4122"


@given(st.lists(st.tuples(names, keys, names), min_size=2, max_size=2, unique=True))
def test_different_images_have_different_ids(pair: list[tuple[str, str, str]]) -> None:
    (one, two) = (ImageReference(*parts).image_id for parts in pair)
    assert one != two


def test_a_version_id_goes_before_an_etag() -> None:
    both = ImageReference("photos", "cats/tom.jpg", "3HL4kqtJlcpXroDTDmJ", "e")
    assert both.version == "3HL4kqtJlcpXroDTDmJ"
    assert both.image_id == VERSIONED.image_id
    assert UNVERSIONED.version == "b1946ac92492d2347c6235b4d2611184"


def test_a_reference_has_a_uri() -> None:
    assert VERSIONED.uri == "s3://photos/cats/tom.jpg"


def test_a_key_may_hold_a_newline() -> None:
    assert ImageReference("b", "a\nb", "v").image_id != ImageReference("b", "b", "v\ra").image_id


@pytest.mark.parametrize(
    ("bucket", "key", "version_id", "etag"),
    [
        ("", "k", "v", None),
        ("b", "", "v", None),
        ("b", "k", None, None),
        ("b", "k", "", ""),
        ("b\n", "k", "v", None),
        ("b", "k", "v\n", None),
        ("b", "k", None, "e\n"),
        ("b\0", "k", "v", None),
        ("b", "k\0", "v", None),
        ("b", "k", "v\0", None),
        ("b\ud800", "k", "v", None),
        ("b", "k\ud800", "v", None),
        ("b", "k", "v\ud800", None),
        ("b", "k", None, "\ud800"),
    ],
)
def test_what_names_no_image_is_refused(
    bucket: str, key: str, version_id: str | None, etag: str | None
) -> None:
    with pytest.raises(ValueError, match=r"needs|cannot contain|valid Unicode"):
        ImageReference(bucket, key, version_id, etag)
