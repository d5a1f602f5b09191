"""No response to anyone but an admin names a person."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from console.conftest import ADDRESS, Client, image_of
from console.test_app import Somebody, path_of
from retinue_cli.faces.external_id import external_image_id
from retinue_console.access.identity import Right, with_implied
from retinue_console.access.people import SOMEONE
from retinue_console.app import make_app
from retinue_console.page import Services, with_suffix
from retinue_console.routes import ROUTES
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord
from retinue_sdk.json_value import encode_json
from starlette.testclient import TestClient

NAME = "Ada Lovelace"
PERSON = external_image_id(NAME)


@pytest.fixture(scope="module")
def recognized(console_url: str) -> str:
    """An image in which a person was recognized, who is enrolled; its id."""
    image = image_of("party.jpg", 90)
    face = {"Face": {"ExternalImageId": PERSON}}
    run = RunRecord(
        RunKey(image.image_id, "faces", "1", hashlib.sha256(b"f").hexdigest()[:32]),
        "event",
        outcome="succeeded",
        retryable=False,
        started_at=datetime.now(UTC),
        duration_ms=1.0,
        raw_response=encode_json({"FaceMatches": [face]}),
        detections=(
            DetectionRecord(
                "face_match",
                PERSON,
                0.9,
                (0.1, 0.1, 0.2, 0.2),
                encode_json(face),
            ),
        ),
    )
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([image], [run])
    with psycopg.connect(console_url.replace("+psycopg", "")) as owner:
        owner.execute(
            "INSERT INTO people (external_image_id, region, collection_id, name, consent) "
            "VALUES (%s, 'eu-west-1', 'staff', %s, 'form 1') ON CONFLICT DO NOTHING",
            [PERSON, NAME],
        )
    return str(image.image_id)


def client_of(services: Services, right: Right) -> Client:
    rights = with_implied([right])
    return TestClient(make_app(services, sign_in=Somebody(rights)), base_url=ADDRESS)


def pages(image_id: str) -> Iterator[str]:
    """Every page, in every form, and those that would show the person."""
    for route in ROUTES:
        if route.method == "GET" and route.right is not Right.SQL:
            for suffix in ("", *route.suffixes):
                yield with_suffix(path_of(route), suffix) if suffix else path_of(route)
    for suffix in ("", ".json", ".csv"):
        yield f"/images/{image_id}{suffix}"
        yield with_suffix("/images", suffix) + "?kind=face_match"
        yield with_suffix("/labels", suffix) + "?kind=face_match"
    yield "/images?shape=patches&kind=face_match"
    yield "/search?q=Ada"
    yield "/search?q=party"


def names(text: str) -> bool:
    return any(part in text for part in ("Ada_Lovelace", "Ada Lovelace", PERSON))


@pytest.mark.parametrize("right", [Right.VIEWER, Right.REVIEWER])
def test_no_page_names_a_person_to_others_than_admins(
    services: Services, recognized: str, right: Right
) -> None:
    client = client_of(services, right)
    for path in pages(recognized):
        assert not names(client.get(path).text), path
    assert SOMEONE in client.get(f"/images/{recognized}").text


def test_others_may_not_look_for_people(services: Services, recognized: str) -> None:
    client = client_of(services, Right.REVIEWER)
    for path in ("/images", "/search", "/labels"):
        asked = {"q" if path == "/search" else "label": PERSON}
        assert client.get(path, params=asked).status_code == 403, path


def test_a_detectors_answer_names_no_person(services: Services, recognized: str) -> None:
    page = client_of(services, Right.ADMIN).get(f"/images/{recognized}.json").json()
    [run_id] = [run["run_id"] for run in page["runs"]]
    path = f"/images/{recognized}/responses/{run_id}"
    assert names(client_of(services, Right.ADMIN).get(path).text)
    assert not names(client_of(services, Right.VIEWER).get(path).text)


def test_admins_see_people(services: Services, recognized: str) -> None:
    client = client_of(services, Right.ADMIN)
    [person] = [one for one in client.get("/people.json").json()["people"] if one["name"] == NAME]
    assert person["consent"] == "form 1"
    assert PERSON in client.get(f"/images/{recognized}").text


def test_the_login_for_queries_cannot_list_people(recognized: str, reader_url: str) -> None:
    with (
        psycopg.connect(reader_url.replace("+psycopg", "")) as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute("SELECT * FROM list_people()")


def test_reviewers_decide_about_no_persons_name(services: Services, recognized: str) -> None:
    asked = {"image": recognized}
    for right, kinds in ((Right.REVIEWER, []), (Right.ADMIN, ["face_match"])):
        page = client_of(services, right).get("/review/corrections.json", params=asked).json()
        assert [one["kind"] for one in page["task"]["shown"]] == kinds


@pytest.mark.parametrize(("right", "status"), [(Right.REVIEWER, 403), (Right.ADMIN, 200)])
def test_only_admins_may_name_people(
    services: Services, recognized: str, right: Right, status: int
) -> None:
    """Else a truth would hold names, and what is withheld would tell who was forgotten."""
    item = {"decision": "add", "kind": "face_match", "label": PERSON, "box": None}
    body = {"image_id": recognized, "key": str(uuid4()), "items": [item], "exhaustive": False}
    said = client_of(services, right).post("/review/corrections/save", json=body)
    assert said.status_code == status
