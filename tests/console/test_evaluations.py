"""Evaluations in the console: the same figures as the command's, and the images behind each."""

import json
import uuid

import pytest
from click.testing import CliRunner
from console.conftest import Client
from retinue_cli.commands.evaluate import evaluate
from retinue_console.database import Reviews
from retinue_history.analysis.selection import Selection
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import findings_of, save_answer
from retinue_history.review.queues import QueueDefinition, create_queue


@pytest.fixture
def truth(reviews: Reviews) -> str:
    """A truth by people, who reject what was found in every third image and add something else."""
    name = f"truth-{uuid.uuid4().hex[:8]}"
    with reviews.connections() as (reader, reviewer):
        create_queue(
            reader,
            reviewer,
            QueueDefinition(name, Selection(prefix="photo"), "random", 9, audit_share=0.0),
            "tester",
        )
    with reviews.connections() as (reader, reviewer):
        images = reader.execute(
            "SELECT image_id FROM review_images JOIN review_queues USING (queue_id) "
            "WHERE name = %s ORDER BY place",
            [name],
        ).fetchall()
        for number, (image_id,) in enumerate(images):
            items = [AnswerItem.of("accept", one) for one in findings_of(reader, image_id)]
            if number % 3 == 0:
                items = [AnswerItem.of("reject", one) for one in findings_of(reader, image_id)]
                items.append(AnswerItem("add", "object", "unseen", None))
            answer = Answer(tuple(items), exhaustive=True)
            save_answer(reviewer, name, image_id, "tester", answer, key=uuid.uuid4())
    return name


def test_figures_are_those_of_the_command(
    client: Client, truth: str, reader_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", reader_url)
    told = CliRunner().invoke(evaluate, ["labels", "--ground-truth", truth, "--json"])
    assert told.exit_code == 0, told.output
    shown = client.get("/evaluations.json", params={"truth": truth, "detector": "labels"}).json()
    assert shown["evaluated"]["scores"] == json.loads(told.output)
    assert shown["evaluated"]["is_biased"] is True


def test_each_number_of_the_confusions_opens_its_images(client: Client, truth: str) -> None:
    asked = {"truth": truth, "detector": "labels"}
    evaluated = client.get("/evaluations.json", params=asked).json()["evaluated"]
    rows = {
        there: dict(zip(evaluated["columns"], counts, strict=True))
        for there, counts in evaluated["rows"]
    }
    unseen = rows["unseen"]
    assert sum(unseen.values()) == 3
    for found, number in unseen.items():
        cell = client.get(
            "/evaluations.json", params=asked | {"there": "unseen", "found": found or ""}
        ).json()["evaluated"]
        images = cell["cell"]["images"]
        assert len(images) == cell["cell"]["all_images"] == number
        for image in images:
            assert [one["label"] for one in image["there"] if one["matches"]] == ["unseen"]
            assert sum(one["matches"] for one in image["found"]) == (found is not None)
    asked |= {"there": "", "found": next(label for label in rows if label not in (None, "unseen"))}
    page = client.get("/evaluations", params=asked).text
    for image in client.get("/evaluations.json", params=asked).json()["evaluated"]["cell"][
        "images"
    ]:
        assert f"/pictures/{image['image_id']}/thumbnail" in page


def test_what_cannot_be_scored_says_why(client: Client) -> None:
    page = client.get("/evaluations", params={"truth": "none", "detector": "labels"})
    assert (page.status_code, "There is no truth named none" in page.text) == (200, True)
