"""The search field: ids, addresses, labels, words and keys, with any text."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from fakes.examples import examples
from fakes.small_history import HOSTILE, NOON, found, image, run
from hypothesis import given, settings
from hypothesis import strategies as st
from retinue_console.queries.search import Found, search
from retinue_history import ConnectionPool, History
from sqlalchemy import make_url

CAT = image("pets/cat.jpg")
OTHER = image("pets/other.jpg", bucket="others")


@pytest.fixture(scope="module")
def ask(shared_history_url: str) -> Iterator[Callable[[str], Found]]:
    hostile = [image(text) for text in HOSTILE]
    url = make_url(shared_history_url).set(username="retinue_reader", drivername="postgresql")
    with closing(ConnectionPool(shared_history_url, application_name="test")) as pool:
        History(pool).record(
            [CAT, OTHER, *hostile],
            [
                run(CAT, [found("Cat"), found("Wildcat"), found("100% cat_s")]),
                run(CAT, [found("NO PARKING", kind="text")], detector="words"),
                run(
                    OTHER,
                    [found("Parking lot", kind="text")],
                    detector="words",
                    started_at=NOON - timedelta(days=300),
                ),
                *(run(one, [found(one.key[:990])]) for one in hostile),  # longer ones aren't listed
            ],
        )
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as reader:
        yield lambda text: search(reader, text)


def keys(result: Found) -> list[str]:
    return [one.key for one in result.images or ()]


def labels(result: Found) -> list[str]:
    return [one.label for one in result.labels or ()]


def test_an_image_by_its_id_and_its_address(ask: Callable[[str], Found]) -> None:
    assert keys(ask(f" {CAT.image_id} ")) == ["pets/cat.jpg"]
    assert keys(ask(CAT.image_id.hex.upper())) == ["pets/cat.jpg"]
    assert keys(ask("s3://photos/pets/cat.jpg")) == ["pets/cat.jpg"]
    assert keys(ask("s3://others/")) == ["pets/other.jpg"]
    assert keys(ask("s3://")) == []
    assert keys(ask("00000000-0000-0000-0000-000000000000")) == []


def test_keys_by_their_beginning_in_all_buckets(ask: Callable[[str], Found]) -> None:
    assert keys(ask("pets/")) == ["pets/cat.jpg", "pets/other.jpg"]
    assert keys(ask("cat.jpg")) == []


def test_labels_by_beginning_and_part(ask: Callable[[str], Found]) -> None:
    assert labels(ask("CAT")) == ["Cat", "100% cat_s", "Wildcat"]
    assert labels(ask("ca")) == ["Cat"]
    assert labels(ask("t_s")) == ["100% cat_s"]
    assert labels(ask("0% c")) == ["100% cat_s"]
    assert labels(ask("%%%")) == []


def test_words_in_images_the_newest_first(ask: Callable[[str], Found]) -> None:
    assert [one.label for one in ask("parking").words or ()] == ["NO PARKING", "Parking lot"]
    assert ask("no").words == ()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_find_themselves(ask: Callable[[str], Found], text: str) -> None:
    result = ask(text[:990])
    assert text in keys(result)
    assert text[:990] in labels(result)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
@settings(max_examples=examples(0.6))
def test_any_text_has_an_answer(ask: Callable[[str], Found], text: str) -> None:
    result = ask(text)
    assert result.text == text.strip()
    assert not {None} & {result.images, result.labels, result.words}
