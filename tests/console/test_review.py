"""Review over HTTP: what is refused, what is kept, and decisions about many images."""

import uuid
from contextlib import closing
from typing import Any

import pytest
from console.conftest import Client, image_of
from retinue_console.access.identity import Identity, Right, with_implied
from retinue_console.database import Database, Reviews
from retinue_console.review import bulk
from retinue_console.sign_in.sign_in import NoSignIn
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord
from retinue_history.analysis.selection import Selection
from retinue_history.review.answers import StandingAnswer, answers_of
from retinue_history.review.queues import QueueDefinition, create_queue
from retinue_history.review.truth import Scope


@pytest.fixture
def queue(reviews: Reviews) -> str:
    name = f"queue-{uuid.uuid4().hex[:8]}"
    with reviews.connections() as (reader, reviewer):
        definition = QueueDefinition(
            name, Selection(prefix="photo"), "random", 10, Scope(kinds=("object",)), audit_share=0.0
        )
        create_queue(reader, reviewer, definition, "tester")
    return name


def task_of(client: Client, queue: str) -> dict[str, Any]:
    answer = client.get(f"/review/{queue}.json")
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()["task"]
    return task


def body_of(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    items = [
        {
            "decision": "accept",
            "kind": shown["kind"],
            "label": shown["label"],
            "box": shown["box"],
            "shown": shown,
        }
        for shown in task["shown"]
    ]
    return {
        "image_id": task["image"]["image_id"],
        "key": str(uuid.uuid4()),
        "lease": task["lease"],
        "items": items,
        "exhaustive": True,
        "seconds": 1.5,
        "scope_kinds": task["scope"]["kinds"],
        "scope_labels": task["scope"]["labels"],
    } | changes


def answers(database: Database, task: dict[str, Any]) -> list[StandingAnswer]:
    with database.read() as reader:
        return answers_of(reader, uuid.UUID(task["image"]["image_id"]), task["queue"])


def test_an_answer_is_saved_once_whatever_is_sent_twice(
    client: Client, queue: str, database: Database
) -> None:
    task = task_of(client, queue)
    body = body_of(task)
    first = client.post(f"/review/{queue}/save", json=body)
    second = client.post(f"/review/{queue}/save", json=body)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() | {"repeated": True, "was_settled": True} == second.json()
    [saved] = answers(database, task)
    assert saved.answer.scope == Scope(kinds=("object",))
    assert saved.answer.items[0].shown is not None


def test_another_answer_under_a_used_key_is_refused_and_says_so(client: Client, queue: str) -> None:
    body = body_of(task_of(client, queue))
    client.post(f"/review/{queue}/save", json=body)
    answer = client.post(
        f"/review/{queue}/save",
        json=body | {"exhaustive": False},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 400
    assert "used for another answer" in answer.json()["message"]


def test_an_answer_that_comes_after_the_lease_is_kept(
    client: Client, queue: str, database: Database
) -> None:
    task = task_of(client, queue)
    client.post(f"/review/{queue}/release", json={"lease": task["lease"]})
    saved = client.post(f"/review/{queue}/save", json=body_of(task)).json()
    assert saved["late"] is True
    assert len(answers(database, task)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"items": [{"decision": "accept", "kind": "object", "label": "x"}]},
        {"items": [{"decision": "add", "kind": "object", "label": "x", "box": [0, 0, -1, 1]}]},
        {"items": [{"decision": "add", "kind": "object", "label": ""}]},
        {"items": [{"decision": "add", "kind": "object", "label": "x\0"}]},
        {"items": [{"decision": "destroy", "kind": "object", "label": "x"}]},
        {"key": "none"},
        {"unknown": 1},
        {"image_id": str(uuid.uuid4())},
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_saved(
    client: Client, queue: str, database: Database, change: dict[str, Any]
) -> None:
    task = task_of(client, queue)
    answer = client.post(f"/review/{queue}/save", json=body_of(task, **change))
    assert answer.status_code == 400
    assert answers(database, task) == []


def test_what_was_accepted_is_as_it_was_shown(
    client: Client, queue: str, database: Database
) -> None:
    task = task_of(client, queue)
    body = body_of(task)
    body["items"][0] |= {"label": "something else", "box": [0, 0, 1, 1]}
    client.post(f"/review/{queue}/save", json=body)
    [saved] = answers(database, task)
    assert saved.answer.items[0].label == task["shown"][0]["label"]


def test_the_page_of_an_image_has_what_people_said_of_it(client: Client, queue: str) -> None:
    task = task_of(client, queue)
    address = f"/images/{task['image']['image_id']}"

    def truths() -> list[dict[str, Any]]:  # other tests have answered about the image, too
        named: list[dict[str, Any]] = client.get(f"{address}.json").json()["truths"]
        return [truth for truth in named if truth["name"] == queue]

    assert (truths(), queue in client.get(address).text) == ([], False)
    body = body_of(task)
    body["items"][0] |= {"decision": "change", "label": "<b>lynx</b>"}
    client.post(f"/review/{queue}/save", json=body)
    [truth] = truths()
    assert [one["label"] for one in truth["items"]] == ["<b>lynx</b>"]
    text = client.get(address).text
    assert (queue in text, "&lt;b&gt;lynx&lt;/b&gt;" in text) == (True, True)


def test_a_queue_is_made_with_a_form_and_closed(client: Client) -> None:
    name = f"form-{uuid.uuid4().hex[:8]}"
    made = client.post(
        "/review", data={"name": name, "strategy": "random", "size": "5"}, follow_redirects=False
    )
    assert made.headers["location"] == f"/review/{name}"
    again = client.post("/review", data={"name": name})
    assert (again.status_code, "name of a queue" in again.text) == (400, True)
    client.post(f"/review/{name}/close", data={})
    assert client.get(f"/review/{name}.json").json()["task"] is None


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", None),
        (" , \n ", None),
        ("cat, dog,", ["cat", "dog"]),
        (
            '"tench, Tinca tinca", "12"" ruler",5\' pole',
            ["tench, Tinca tinca", '12" ruler', "5' pole"],
        ),
        ("one\r\ntwo", ["one two"]),
        ('"not closed', ["not closed"]),
    ],
)
def test_labels_to_look_for_are_separated_by_commas(
    client: Client, text: str, labels: list[str] | None
) -> None:
    name = f"form-{uuid.uuid4().hex[:8]}"
    made = client.post("/review", data={"name": name, "strategy": "random", "labels": text})
    assert made.status_code == 200, made.text
    assert task_of(client, name)["scope"]["labels"] == labels
    assert client.post(f"/review/{name}/close", data={}).status_code == 200


def test_a_decision_about_many_is_previewed_made_and_undone_as_one(
    client: Client, queue: str
) -> None:
    label = task_of(client, queue)["shown"][0]["label"]
    address = f"/review/{queue}/bulk"
    asked = {"label": label, "kind": "object", "decision": "reject"}
    before = client.get(f"{address}.json", params=asked).json()
    assert before["findings"] >= 1
    stale = client.post(address, params=asked, data={"seen": "0"})
    assert (stale.status_code, "Preview them again" in stale.text) == (400, True)
    made = client.post(address, params=asked, data={"seen": before["seen"]}, follow_redirects=False)
    bulk_id = made.headers["location"].partition("applied=")[2]
    assert client.get(f"{address}.json", params=asked).json()["findings"] == 0
    page = client.get(made.headers["location"]).text
    assert f"/bulk/{bulk_id}/undo" in page
    client.post(f"{address}/{bulk_id}/undo", data={})
    after = client.get(f"{address}.json", params=asked).json()
    assert after["seen"] == before["seen"]


def test_many_are_corrected_step_by_step_while_more_are_found(
    client: Client, console_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision is about the images that were shown, and the next one about others."""
    monkeypatch.setattr(bulk, "MAX_IMAGES", 2)
    label = f"Lynx {uuid.uuid4().hex[:8]}"
    address, asked = "/review/corrections/bulk", {"label": label, "decision": "reject"}
    with closing(ConnectionPool(console_url, application_name="test")) as pool:

        def find(number: int) -> str:
            image = image_of(f"{label} {number}.jpg", number)
            found = (DetectionRecord("label", label, 0.5, (0.1, 0.2, 0.3, 0.4)),)
            key = RunKey(image.image_id, "cats", "1", "f")
            run = RunRecord(
                key,
                "event",
                outcome="succeeded",
                retryable=False,
                started_at=image.uploaded_at,
                duration_ms=1.0,
                detections=found,
            )
            History(pool).record([image], [run])
            return str(image.image_id)

        images = [find(number) for number in range(5)]
        decided: list[str] = []
        for step in range(3):
            preview = client.get(f"{address}.json", params=asked).json()
            shown = [one["image_id"] for one in preview["changes"]]
            assert (len(shown), preview["is_more"]) == (2, step < 2)
            if step == 0:
                images.append(find(9))
            decided += shown
            made = client.post(address, params=asked, data={"seen": preview["seen"]})
            assert made.status_code == 200
    assert sorted(decided) == sorted(images)
    assert client.get(f"{address}.json", params=asked).json()["changes"] == []
    again = client.post(address, params=asked, data={"seen": preview["seen"]})
    assert (again.status_code, "Preview them again" in again.text) == (400, True)


def test_a_closed_queue_takes_no_decisions_about_many(client: Client, queue: str) -> None:
    label = task_of(client, queue)["shown"][0]["label"]
    asked = {"label": label, "kind": "object", "decision": "reject"}
    seen = client.get(f"/review/{queue}/bulk.json", params=asked).json()["seen"]
    client.post(f"/review/{queue}/close", data={})
    assert client.get(f"/review/{queue}/bulk.json", params=asked).json()["findings"] == 0
    made = client.post(f"/review/{queue}/bulk", params=asked, data={"seen": seen})
    assert made.status_code == 400


def test_only_admins_decide_what_others_dispute(
    client: Client, queue: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(client, queue)
    reviewer = Identity("ben", "Ben", with_implied([Right.REVIEWER]))
    monkeypatch.setattr(NoSignIn, "identify", lambda self, request: reviewer)
    assert client.get(f"/review/{queue}?adjudicate=true").status_code == 403
    body = body_of(task, adjudicates=True)
    assert client.post(f"/review/{queue}/save", json=body).status_code == 403
    assert answers(database, task) == []
    assert client.post(f"/review/{queue}/save", json=body_of(task)).status_code == 200


def test_everything_that_was_done_is_in_the_audit_log(client: Client, queue: str) -> None:
    task = task_of(client, queue)
    client.post(f"/review/{queue}/save", json=body_of(task))
    asked = {"image": task["image"]["image_id"]}
    entries = client.get("/audit.json", params=asked).json()["entries"]
    assert "answer_saved" in [one["act"] for one in entries if one["queue"] == queue]


def test_the_gallery_tells_reviewed_images_from_others(client: Client, queue: str) -> None:
    task = task_of(client, queue)
    image_id = task["image"]["image_id"]

    def is_among(reviewed: str) -> bool:
        asked = {"reviewed": reviewed, "prefix": task["image"]["key"]}
        images = client.get("/images.json", params=asked).json()["images"]
        return image_id in [one["image_id"] for one in images]

    client.post(f"/review/{queue}/save", json=body_of(task))
    assert (is_among("true"), is_among("false")) == (True, False)
