"""What holds for every page: the route table is walked."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from console.conftest import ADDRESS, Client
from retinue_console.access.guard import SECURITY_HEADERS
from retinue_console.access.identity import Identity, Right, with_implied
from retinue_console.app import make_app
from retinue_console.command import listen
from retinue_console.database import Database
from retinue_console.page import Call, Page, Parameters, Route, Services, with_suffix
from retinue_console.routes import ROUTES
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.sign_in import SignIn
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import check_names
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

PAGES = [route for route in ROUTES if route.method == "GET" and "{" not in route.path]


def path_of(route: Route) -> str:
    """An address of a route, with ids of things that aren't there."""
    path = re.sub(r"{\w+:uuid}", "00000000-0000-8000-8000-000000000000", route.path)
    path = re.sub(r"{\w+:int}", "0", path)
    return re.sub(r"{\w+}", "none", path)


class Elements(HTMLParser):
    """The elements of a page, as browsers read it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, set[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name for name, _ in attrs}))


@dataclass(frozen=True)
class Somebody(SignIn):
    rights: frozenset[Right] | None

    def identify(self, request: HTTPConnection) -> Identity | None:
        return None if self.rights is None else Identity("ann", "Ann", self.rights)


ROLES: dict[str, frozenset[Right] | None] = {
    "nobody": None,
    "no role": frozenset(),
    **{right.value: with_implied([right]) for right in Right},
}
"""Each with the rights that it gives."""


@pytest.mark.parametrize("role", ROLES)
def test_each_route_for_each_role(services: Services, role: str) -> None:
    rights = ROLES[role]
    client = TestClient(make_app(services, sign_in=Somebody(rights)), base_url=ADDRESS)
    for route in ROUTES:
        assert route.right is not None  # no page is for everyone
        for suffix in ("", *route.suffixes):
            path = path_of(route)
            said = client.request(route.method, with_suffix(path, suffix) if suffix else path)
            refused = 401 if rights is None else None if route.right in rights else 403
            told = said.status_code if said.status_code in (401, 403) else None
            assert told == refused, (route.method, route.path, suffix)


def test_rights_imply_lesser_ones() -> None:
    assert with_implied([Right.ADMIN]) == {Right.ADMIN, Right.REVIEWER, Right.VIEWER}
    assert with_implied([Right.REVIEWER]) == {Right.REVIEWER, Right.VIEWER}
    assert with_implied([Right.SQL]) == {Right.SQL}


@pytest.mark.parametrize("path", [*map(path_of, ROUTES), "/nothing", "/health", "/?wrong=1"])
def test_security_headers(client: Client, path: str) -> None:
    headers = client.get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
def test_pages_hold_hostile_texts_as_texts(client: Client, route: Route) -> None:
    said = client.get(route.path)
    assert said.status_code == 200
    assert said.headers["content-type"] == "text/html; charset=utf-8"
    for markup in ("<script>alert", "<img src=x", ">49<"):
        assert markup not in said.text
    # Nothing inline, as the policy wants.
    elements = Elements()
    elements.feed(said.text)
    for tag, attributes in elements.found:
        assert tag != "style"
        assert tag != "script" or "src" in attributes
        assert not any(re.match("style|on", name) for name in attributes)
    links = re.findall(r'(?:href|src)="([^"]*)"', said.text)
    assert [link for link in links if not link.startswith(("/", "#", "?"))] == []
    for link in {link for link in links if link.startswith("/static/")}:
        assert client.get(link).headers["cache-control"].endswith("immutable")


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
def test_json_and_csv_of_the_same_data(client: Client, route: Route) -> None:
    for suffix in route.suffixes:
        said = client.get(with_suffix(route.path, suffix))
        assert said.status_code == 200
        if suffix == ".json":
            json.loads(said.text)
            assert said.text == client.get(route.path, headers={"Accept": "application/json"}).text
        else:
            assert said.headers["content-disposition"].startswith("attachment")
            assert not re.search(r'(^|,)"?[=@]', said.text, re.MULTILINE)


def test_openapi_describes_every_route(client: Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    described = {
        (path, method.upper()) for path, one in document["paths"].items() for method in one
    }
    for route in ROUTES:
        path = re.sub(r":\w+}", "}", route.path)
        for suffix in route.suffixes or ("",):
            assert (with_suffix(path, suffix) if suffix else path, route.method) in described
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= document["components"]["schemas"].keys()


def test_every_parameter_is_described(client: Client) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                assert parameter["description"], (path, parameter["name"])


# One route of each kind, so that all can be tried before there is such a page.


class Filters(Parameters):
    label: tuple[str, ...] = ()
    """Labels."""

    min_confidence: float | None = None
    """Least confidence."""


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    number: int


@dataclass(frozen=True, slots=True)
class Data:
    labels: list[str]
    rows: list[Row]


def rows(call: Call[Filters]) -> Page[Data]:
    """List what was asked for."""
    listed = [Row(label, -1) for label in call.parameters.label]
    data = Data(list(call.parameters.label), listed)
    return Page("none.html", "Rows", data, rows=listed)


def sql(call: Call[Filters]) -> Response:
    """Run a statement that can't be run."""
    with call.database.read() as connection:
        connection.execute("SELECT %s::text", [call.parameters.label[0]])
        if call.parameters.label[0] == "slow":
            connection.execute("SET LOCAL statement_timeout = 1")
            connection.execute("SELECT pg_sleep(10)")
        if call.parameters.label[0] == "write":
            connection.execute("DELETE FROM images")
    return PlainTextResponse("done")


class Form(Parameters):
    text: str
    """A text."""


def post(call: Call[Parameters]) -> Response:
    """Answer with the body."""
    return PlainTextResponse(call.body.text)


SAMPLES = (
    Route("/rows", rows, "Rows", Right.VIEWER, parameters=Filters, answer=Data, has_csv=True),
    Route("/sql", sql, "SQL", Right.VIEWER, parameters=Filters),
    Route("/post", post, "Post", Right.REVIEWER, method="POST", body=Form),
)


@pytest.fixture
def samples(services: Services) -> Client:
    return TestClient(make_app(services, routes=SAMPLES), base_url=ADDRESS)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("wrong=1", "wrong"),
        ("min_confidence=many", "min_confidence"),
        ("min_confidence=1&min_confidence=2", "min_confidence"),
        ("label=a&other=", "other"),
    ],
)
def test_a_wrong_parameter_is_named(samples: Client, query: str, names: str) -> None:
    for path in ("/rows", "/rows.json", "/rows.csv"):
        said = samples.get(f"{path}?{query}")
        assert said.status_code == 400
        assert f"The parameter {names} " in said.text


def test_a_field_that_was_left_empty_is_not_given(samples: Client) -> None:
    assert samples.get("/rows.json?min_confidence=&label=&label=a").json()["labels"] == ["a"]


def test_csv_cells_are_no_formulas(samples: Client) -> None:
    said = samples.get("/rows.csv", params={"label": ["=1+1", "@x", "+1", "-1", "a,b", "plain"]})
    assert said.text.splitlines() == [
        "label,number",
        *("'=1+1,-1", "'@x,-1", "'+1,-1", "'-1,-1", '"a,b",-1', "plain,-1"),
    ]


@pytest.mark.parametrize(
    ("label", "status", "word"),
    [("\x00", 400, "NUL"), ("slow", 504, "took longer"), ("write", 503, "doesn&#39;t answer")],
)
def test_what_the_database_refuses(samples: Client, label: str, status: int, word: str) -> None:
    said = samples.get("/sql", params={"label": label})
    assert (said.status_code, word in said.text) == (status, True)


@pytest.fixture(params=["away", "silent"])
def absent(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server that isn't there, or that accepts connections and never answers."""
    if request.param == "away":
        yield "host=/nowhere"
        return
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"host=127.0.0.1&port={silent.getsockname()[1]}"


def test_a_database_that_is_away_and_comes_back(services: Services, absent: str) -> None:
    away = Database(f"postgresql://retinue_reader@/nothing?{absent}&connect_timeout=2")
    client = TestClient(make_app(replace(services, database=away)), base_url=ADDRESS)
    said = client.get("/")
    assert said.status_code == 503
    assert "reload.js" in said.text
    assert absent.partition("=")[2].partition("&")[0] not in said.text
    assert said.headers["retry-after"]
    assert client.get("/labels.json").json()["status"] == 503
    assert client.get("/health").status_code == 200
    assert TestClient(make_app(services), base_url=ADDRESS).get("/").status_code == 200


def test_a_login_that_can_write_is_refused(console_url: str, services: Services) -> None:
    owner = replace(services, database=Database(console_url))
    said = TestClient(make_app(owner), base_url=ADDRESS).get("/")
    assert said.status_code == 503
    assert "isn&#39;t read-only" in said.text


SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (SAME, 200),
        ({}, 200),  # no browser
        ({"Origin": ADDRESS}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ADDRESS}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        (SAME | {"Host": "evil.example"}, 421),
        (SAME | {"Host": "127.0.0.1.evil.example:8600"}, 421),
        (SAME | {"Host": "[::1]:8600"}, 200),
        (SAME | {"Host": "["}, 421),
    ],
)
def test_other_sites_change_nothing(samples: Client, headers: dict[str, str], status: int) -> None:
    said = samples.post("/post", data={"text": "a"}, headers=headers)
    assert said.status_code == status
    assert said.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", ""])
def test_a_foreign_host_reads_nothing(client: Client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 421


def test_bodies(samples: Client) -> None:
    assert samples.post("/post", json={"text": "é"}).text == "é"
    assert samples.post("/post", data={"text": "é"}).text == "é"
    for wrong in (
        {"json": {"text": 1}},
        {"json": []},
        {"data": {"test": "a"}},
        {"content": b"\xff"},
    ):
        assert samples.post("/post", **wrong).status_code == 400
    assert samples.post("/post", content=b"text=" + b"x" * 2**20).status_code == 413


@pytest.fixture(params=[True, False], ids=["kept", "removed"])
def below(request: pytest.FixtureRequest, services: Services) -> Any:
    """A console below /a/b, behind a proxy that keeps or removes that path."""
    moved = replace(services, settings=ConsoleSettings(base_path="/a/b/"))
    client = TestClient(make_app(moved), base_url=ADDRESS)
    return lambda path: client.get(f"/a/b{path}" if request.param else path)


def test_a_base_path(below: Any) -> None:
    linked = set()
    for route in PAGES:
        said = below(route.path)
        assert said.status_code == 200
        links = re.findall(r'(?:href|src)="(/[^"]*)"', said.text)
        assert links
        assert [link for link in links if not link.startswith("/a/b/")] == []
        linked |= {link.partition("?")[0] for link in links}
    for link in linked:
        assert below(link.removeprefix("/a/b")).status_code in (200, 404), link
    assert below("/health").status_code == 200
    assert below("/openapi.json").json()["servers"] == [{"url": "/a/b"}]
    assert 'href="/a/b/"' in below("/nothing").text


def test_vendored_files_are_what_was_published() -> None:
    data = (files("retinue_console") / "static" / "vendored" / "htmx.min.js").read_bytes()
    assert hashlib.sha256(data).hexdigest() == (
        "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"  # npm htmx.org 2.0.11
    )


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"RETINUE_CONSOLE_{name.upper()}": "x" for name in ConsoleSettings.model_fields}
    check_names(names)  # a worker with the same variables starts
    monkeypatch.setenv("RETINUE_CONSOLE_PORT", "8700")
    monkeypatch.setenv("RETINUE_CONSOLE_BASE_PATH", "/a/b/")
    assert ConsoleSettings.load(port=None).port == 8700
    assert ConsoleSettings.load(port=1).port == 1
    assert ConsoleSettings.load().base_path == "/a/b"


@pytest.mark.parametrize(
    ("name", "value"), [("HOST", "0.0.0.0"), ("PORT", "x"), ("BASE_PATH", "a"), ("PROT", "1")]
)
def test_wrong_settings(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RETINUE_CONSOLE_{name}", value)
    with pytest.raises(ConfigurationError, match=f"RETINUE_CONSOLE_{name}"):
        ConsoleSettings.load()


def test_answers_are_sent_without_delay() -> None:
    """asyncio sets TCP_NODELAY for sockets whose protocol is named; else a page waits 40 ms."""
    with closing(listen(ConsoleSettings(port=0))) as listener:
        assert listener.proto == socket.IPPROTO_TCP
