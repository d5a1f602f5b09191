"""External image ids exist for any name, within AWS's limits, and are unique."""

import re
import unicodedata

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.external_id import external_image_id, name_of, plain_name

SHAPE = botocore.session.get_session().get_service_model("rekognition").shape_for("ExternalImageId")
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=400).filter(
    lambda name: name.strip()
)


@given(names)
def test_any_name_fits(name: str) -> None:
    external_id = external_image_id(name)
    assert re.fullmatch(SHAPE.metadata["pattern"], external_id)
    assert SHAPE.metadata["min"] <= len(external_id) <= SHAPE.metadata["max"]
    assert name_of(external_id) in {plain_name(name), None}


@given(names, names)
def test_two_names_never_share_an_id(one: str, other: str) -> None:
    same = plain_name(one) == plain_name(other)
    assert (external_image_id(one) == external_image_id(other)) == same


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ann", "person:Ann"),
        ("Ann Lee", "person:Ann_Lee"),
        ("Ann_Lee", "person:Ann:5fLee"),
        ("Ann:20Lee", "person:Ann:3a20Lee"),
        ("Zoë", "person:Zo:c3:ab"),
        ("李雷", "person::e6:9d:8e:e9:9b:b7"),
    ],
)
def test_ids_can_be_read(name: str, expected: str) -> None:
    assert external_image_id(name) == expected
    assert name_of(expected) == name


def test_long_names_that_differ_at_the_end_differ() -> None:
    one, other = ("ü" * 300 + end for end in "ab")
    assert external_image_id(one) != external_image_id(other)
    assert name_of(external_image_id(one)) is None


def test_one_name_in_two_spellings_is_one_person() -> None:
    composed, apart = (unicodedata.normalize(form, " Zoë  Ann ") for form in ("NFC", "NFD"))
    assert composed != apart
    assert external_image_id(composed) == external_image_id(apart)


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "a\x1bb", "\ud800", "x" * 1_001])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(FacesError):
        external_image_id(name)
