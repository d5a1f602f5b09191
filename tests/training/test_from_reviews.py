"""The round trip: people review in the console, a model learns from them, and is scored by them."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import Result
from command_line.conftest import Seed
from console.conftest import ADDRESS
from retinue_cli.data.ground_truth import Annotations, Problems
from retinue_console.access.identity import Identity, Right, with_implied
from retinue_console.app import make_app
from retinue_console.database import Database, Reviews
from retinue_console.page import Services
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.sign_in import SignIn
from retinue_history import ConnectionPool
from retinue_rekognition_emulator import Endpoint
from sqlalchemy import make_url
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from training.conftest import picture

Cli = Callable[..., Result]
Answer = dict[str, Any]
PLACE = (0.1, 0.1, 0.4, 0.4)
OTHER_PLACE = (0.55, 0.5, 0.4, 0.4)


@dataclass(frozen=True)
class Person(SignIn):
    login: str

    def identify(self, request: HTTPConnection) -> Identity | None:
        return Identity(self.login, self.login, with_implied([Right.ADMIN]))


@pytest.fixture
def people(history: str) -> Iterator[list[TestClient]]:
    """The browsers of two people."""

    def url(login: str) -> str:
        return make_url(history).set(username=login).render_as_string(hide_password=False)

    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(url("retinue_reader"))))
        reviews = stack.enter_context(closing(Reviews(database, url("retinue_reviewer"))))
        services = Services(database, reviews, cast("Any", None), ConsoleSettings())
        yield [
            TestClient(make_app(services, sign_in=Person(name)), base_url=ADDRESS)
            for name in ("ann", "bob")
        ]


def answer_to(task: Answer) -> Answer:
    """What both people say: the detector calls every part a nut, and misses a bolt."""
    number = int(task["image"]["key"].removesuffix(".jpg"))
    [shown] = task["shown"]
    item = {"kind": shown["kind"], "label": "nut", "box": shown["box"], "shown": shown}
    items = [item | {"decision": "accept"}]
    if number == 4:
        items = [item | {"decision": "reject"}]
    elif number % 2:
        items = [item | {"decision": "change", "label": "bolt"}]
    if number == 2:
        items.append({"decision": "add", "kind": "label", "label": "bolt", "box": OTHER_PLACE})
    return {
        "image_id": task["image"]["image_id"],
        "key": str(uuid.uuid4()),
        "lease": task["lease"],
        "items": items,
        "exhaustive": number != 6,
        "seconds": 1.0,
        "scope_kinds": task["scope"]["kinds"],
        "scope_labels": task["scope"]["labels"],
    }


def test_reviews_teach_a_model_and_score_it(
    cli: Cli,
    bucket: tuple[Any, str],
    endpoint: Endpoint,
    history: str,
    people: list[TestClient],
) -> None:
    s3, name = bucket
    images = {}
    with closing(ConnectionPool(history)) as pool:
        seed = Seed(pool, name)
        for number in range(12):
            s3.put_object(Bucket=name, Key=f"{number}.jpg", Body=picture())
            images[number] = seed.image(f"{number}.jpg", size_px=(100, 80))
            seed.run(images[number], ("nut", 0.9, PLACE), detector="old")

        # A queue, answers of two people, and what they agree on.
        made = {"name": "parts", "strategy": "random", "size": 12, "overlap": 2, "audit_share": 0}
        said = people[0].post("/review", data=made, follow_redirects=False)
        assert said.status_code == 303, said.text
        for person in people:
            while (task := person.get("/review/parts.json").json()["task"]) is not None:
                saved = person.post("/review/parts/save", json=answer_to(task))
                assert saved.status_code == 200, saved.text
        [queue] = [
            one for one in people[0].get("/review.json").json()["queues"] if one["name"] == "parts"
        ]
        assert (queue["settled"], queue["open"], queue["disputed"]) == (12, 0, 0)

        # Export: the same truth, which people annotated.
        cli("export", "parts.manifest", "--truth", "parts")
        problems = Problems()
        exported = Annotations.read(Path("parts.manifest"), problems)
        assert not problems
        labels = {
            one.name: sorted(each.label for each in one.annotations) for one in exported.images
        }
        assert labels["2.jpg"] == ["bolt", "nut"]
        assert (labels["0.jpg"], labels["1.jpg"], labels["4.jpg"]) == (["nut"], ["bolt"], [])

        # Training learns from all but the image in which not everything is marked.
        begin = ["--output", f"s3://{name}/out/", "--yes", "--poll", "0.01"]
        told = cli("models", "train", "parts", "--from", "history:parts", *begin).stdout
        assert "left out: 1 image in which not everything is marked" in told
        project = endpoint.operations.versions.projects["parts"]
        lines = {
            uri.rpartition("/")[2]: json.loads(line)
            for dataset in endpoint.operations.projects.datasets.of(project)
            for uri, line in dataset.entries.items()
        }
        assert "6.jpg" not in lines
        learned = lines["2.jpg"]["bounding-box-metadata"]
        assert learned["human-annotated"] == "yes"
        assert sorted(learned["class-map"].values()) == ["bolt", "nut"]
        assert lines["4.jpg"]["bounding-box"]["annotations"] == []

        # The model that learned it is scored better than the one before.
        for number, image in images.items():
            label = "bolt" if number % 2 else "nut"
            more = [("bolt", 0.9, OTHER_PLACE)] if number == 2 else []
            seed.run(
                image,
                *([] if number == 4 else [(label, 0.9, PLACE)]),
                *more,
                *([("bolt", 0.9, OTHER_PLACE)] if number == 6 else []),  # unknown, not wrong
                detector="new",
            )
    scores = {}
    for detector in ("old", "new"):
        told = cli("evaluate", detector, "--ground-truth", "parts", "--json").stdout
        overall = json.loads(told)["overall"]
        scores[detector] = (overall["precision"], overall["recall"])
    assert scores["new"] == (1.0, 1.0)
    assert scores["old"] == pytest.approx((5 / 12, 5 / 12))
