"""Differences in the console: the same figures as the command's, and the images behind each."""

import html
import json
import re
import uuid

import pytest
from click.testing import CliRunner
from console.conftest import NOON, Client, image_of
from retinue_cli.commands.diff import diff
from retinue_console.database import Reviews
from retinue_console.pages import diff as diff_page
from retinue_console.pages.diff import COLUMNS
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import CORRECTIONS, findings_of, save_answer

FOUND = {
    "before": (("cat", 0.9, (0.1, 0.1, 0.3, 0.3)), ("dog", 0.5, (0.5, 0.5, 0.2, 0.2))),
    "after": (("cat", 0.8, (0.1, 0.1, 0.3, 0.25)), ("<b>hat", 0.7, (0.6, 0.0, 0.2, 0.2))),
}


@pytest.fixture(scope="module", autouse=True)
def two_detectors(console_url: str) -> None:
    """Two detectors that differ in three images, and two models of one that differ in one."""
    pool = ConnectionPool(console_url, application_name="test")
    for number in range(3):
        image = image_of(f"differs {number}.jpg", 100 + number)
        runs = [
            RunRecord(
                RunKey(image.image_id, detector, "1", "f"),
                f"{detector} {number}",
                outcome="succeeded",
                retryable=False,
                started_at=NOON,
                duration_ms=1.0,
                detections=tuple(DetectionRecord("object", *one) for one in found),
            )
            for detector, found in FOUND.items()
        ]
        runs += [
            RunRecord(
                RunKey(image.image_id, "taught", "1", f"taught {model}"),
                f"{model} {number}",
                outcome="succeeded",
                retryable=False,
                started_at=NOON,
                duration_ms=1.0,
                model_version=f"parts-{model}-1f00ab34cd56",
                detections=(DetectionRecord("label", label, 0.9),),
            )
            for model in (1, 2)
            for label in ("bolt" if number == model == 2 else "nut",)
        ]
        History(pool).record([image], runs)
    pool.close()


@pytest.fixture
def truth(reviews: Reviews) -> str:
    """A truth of one image, in which not everything is marked."""
    image_id = image_of("differs 0.jpg", 100).image_id
    with reviews.connections() as (reader, reviewer):
        cat, *_, dog = findings_of(reader, image_id)
        answer = Answer((AnswerItem.of("accept", cat), AnswerItem.of("reject", dog)), False)
        save_answer(reviewer, CORRECTIONS, image_id, "tester", answer, key=uuid.uuid4())
    return CORRECTIONS


def test_figures_are_those_of_the_command(
    client: Client, truth: str, reader_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", reader_url)
    for before, after in (("before", "after"), (truth, "after"), ("before@1", "labels")):
        told = CliRunner().invoke(diff, [before, after, "--json"])
        sides = {"before": before, "after": after}
        compared = client.get("/diff.json", params=sides).json()["compared"]
        if told.exit_code:  # no image was seen by both
            assert (compared["summary"]["labels"], compared["images"]) == ([], [])
            continue
        assert compared["summary"] == json.loads(told.output)["summary"]
        table = client.get("/diff.csv", params=sides).text.splitlines()
        assert table[0] == ",".join(COLUMNS)
        assert len(table) == 1 + len(compared["summary"]["labels"])


def test_each_number_opens_its_images_with_both_boxes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = {"before": "before", "after": "after"}
    shown = client.get("/diff.json", params=sides).json()["compared"]
    assert shown["all_images"] == 3  # as the command's "images that gained or lost"
    for label in shown["summary"]["labels"]:
        for change in ("kept", "gained", "lost", "unknown"):
            asked = sides | {"label": label["label"], "kind": label["kind"], "change": change}
            images = client.get("/diff.json", params=asked).json()["compared"]["images"]
            found = [one for image in images for one in image["changes"] if one["matches"]]
            assert len(found) == label[change]
            for one in found:
                assert (one["box_before"] is None) == (change == "gained")
                assert (one["box_after"] is None) == (change == "lost")
    text = client.get("/diff", params=sides).text
    assert text.count("/thumbnail") == 6
    monkeypatch.setattr(diff_page, "SHOWN", 2)
    text = client.get("/diff", params=sides).text
    [following] = re.findall(r'rel="next" href="([^"#]*)', text)
    assert client.get(f"/diff{html.unescape(following)}").text.count("/thumbnail") == 2
    assert "<b>hat" not in text


def test_detectors_are_compared_in_the_newest_images(
    reader_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", reader_url)
    for newest, seen in (("2", 2), ("1000", 3)):
        told = CliRunner().invoke(diff, ["before", "after", "--json", "--newest", newest])
        assert json.loads(told.output)["summary"]["images_seen_by_both"] == seen


def test_what_is_no_side_says_so(client: Client) -> None:
    said = client.get("/diff", params={"before": "labels@", "after": "labels"})
    assert (said.status_code, "The parameter before is wrong" in said.text) == (400, True)


def test_versions_link_to_the_images_in_which_a_new_model_differs(client: Client) -> None:
    links = [
        html.unescape(one) for one in re.findall(r'"(/diff\?[^"]*)"', client.get("/detectors").text)
    ]
    [link] = [one for one in links if "parts-2" in one]
    path, _, parameters = link.partition("?")
    compared = client.get(f"{path}.json?{parameters}").json()["compared"]
    assert compared["summary"]["images_seen_by_both"] == 3
    [image] = compared["images"]
    assert image["s3_uri"].endswith("differs 2.jpg")
    assert {(one["change"], one["label"]) for one in image["changes"]} == {
        ("lost", "nut"),
        ("gained", "bolt"),
    }
    sides = client.get("/diff.json").json()["sides"]
    models = [f"taught,model=parts-{number}-1f00ab34cd56" for number in (1, 2)]
    assert [one for one in sides if "model=parts" in one] == models
    chosen = client.get("/diff.json", params=dict(zip(("before", "after"), models, strict=True)))
    assert chosen.json()["compared"]["images"] == compared["images"]
