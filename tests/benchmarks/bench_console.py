"""Measure the console on a large history: ``make bench BENCHMARKS=console``.

Makes a history of ten million detections (``generate_history.py``), or uses the one at ``--url``,
and serves it by the real process. Asks each page many times with changing arguments, and the bare
queries of the same pages on a connection of its own, so that a ratio says what the console adds.
Pictures are one JPEG of 12 megapixels, which a small service answers for every key. If there is a
Chromium, pages are opened in it with a processor four times slower. Reviews stay in the history.
Writes ``benchmarks/console.json`` and the tables of docs/console.md, unless the history is a
smaller one, made for a try: ``python -m benchmarks.bench_console --detections 100000 --times 3``.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psutil
import psycopg
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from retinue_console.app import make_app
from retinue_console.database import Database, Reviews
from retinue_console.page import Services
from retinue_console.pictures.opened import open_pictures
from retinue_console.queries.cursor import Cursor
from retinue_console.settings import ConsoleSettings
from retinue_history.analysis.selection import Selection
from retinue_history.review.queues import QueueDefinition, create_queue
from retinue_workers.settings.settings import Settings
from sqlalchemy import make_url
from starlette.testclient import TestClient

from benchmarks.bench_history import made
from benchmarks.generate_history import image_id
from benchmarks.page import with_tables
from benchmarks.process import MeasuredProcess, service
from tools.chromium import Chromium, find_chromium

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "console.json"
PAGE = ROOT / "docs" / "console.md"
FULL_SIZE = 9_000_000
"""Detections from which on results are written: the generator makes about as many as asked for."""

_STARTS = 3
_WARM = 3
_BARE = 10
_SAVES = 30
_BUSY_CLIENTS = 4
_BUSY_PICTURES = 15
_BROWSER_ROUNDS = 3
_SLOWER = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A page to ask for.

    Attributes:
        name: What it is called in the report.
        address: Makes an address, another one each time.
        target_ms: What the 95th percentile should not exceed.
    """

    name: str
    address: Callable[[random.Random], str]
    target_ms: float


@dataclass(frozen=True, slots=True)
class Took:
    """How long a page takes, in milliseconds from the request to the last byte.

    Attributes:
        name: The page.
        p50_ms: The median.
        p95_ms: The 95th percentile.
        target_ms: What that should not exceed.
        bare_ms: The median of its bare queries.
        queries: How many queries it asks at most.
        kilobytes: Its compressed size.
    """

    name: str
    p50_ms: float
    p95_ms: float
    target_ms: float
    bare_ms: float
    queries: int
    kilobytes: float


@dataclass(frozen=True, slots=True)
class Figure:
    """Another figure and its target: at most that."""

    name: str
    value: float
    target: float


def pages(connection: psycopg.Connection, queue: str) -> list[Asked]:
    """Return the pages, on a history and its queue."""
    images, until = _row(connection, "SELECT count(*), max(uploaded_at) FROM images")

    def label(numbers: random.Random) -> str:
        return f"object {numbers.randrange(80):02}"

    def an_image(numbers: random.Random) -> str:
        return str(image_id(numbers.randrange(images)))

    def late(numbers: random.Random) -> str:
        place = Cursor("uploaded", until - timedelta(days=numbers.uniform(10, 170)), UUID(int=0))
        return _with("/images", after=str(place))

    def word(numbers: random.Random) -> str:
        return numbers.choice([label(numbers), "invoice", f"{numbers.randrange(100):04}/"])

    return [
        Asked("overview", lambda _: "/", 150),
        Asked("images", lambda _: "/images", 100),
        Asked("images, a late page", late, 100),
        Asked("images with a label", lambda n: _with("/images", label=label(n)), 100),
        Asked(
            "with a label above 0.95",
            lambda n: _with("/images", label=label(n), min_confidence=0.95),
            100,
        ),
        Asked(
            "detections of a label",
            lambda n: _with("/images", shape="patches", label=label(n)),
            100,
        ),
        Asked("an image", lambda n: f"/images/{an_image(n)}", 50),
        Asked("search", lambda n: _with("/search", q=word(n)), 100),
        Asked("labels", lambda _: "/labels", 150),
        Asked("a label", lambda n: _with("/labels", label=label(n)), 150),
        Asked("runs", lambda _: "/runs", 150),
        Asked("failures", lambda _: "/failures", 150),
        Asked("versions and drift", lambda _: "/detectors", 150),
        Asked("costs", lambda _: "/costs", 150),
        Asked("next image to review", lambda _: f"/review/{queue}", 100),
        Asked(
            "200 images to decide about",
            lambda n: _with("/review/corrections/bulk", label=label(n)),
            150,
        ),
    ]  # fmt: skip


def pages_table(took: Sequence[Mapping[str, Any]]) -> str:
    """Return how long pages take, as docs/console.md shows it."""
    lines = [
        "| page | p50 · p95, ms | target | ÷ bare queries | queries | KB |",
        "|---" * 6 + "|",
    ]
    lines += [
        f"| {one['name']} | {one['p50_ms']:.0f} · {one['p95_ms']:.0f} | {one['target_ms']:g} | "
        f"{_ratio(one)} | {one['queries']} | {one['kilobytes']:.0f} |"
        for one in took
    ]
    return "\n".join(lines) + "\n"


def figures_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the other figures, as docs/console.md shows them."""
    lines = ["| figure | measured | at most |", "|---|---|---|"]
    lines += [f"| {one['name']} | {one['value']:g} | {one['target']:g} |" for one in found]
    return "\n".join(lines) + "\n"


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what docs/console.md shows of a report, by the names of its places."""
    return {
        "console": pages_table(report.get("pages", ())),
        "console's figures": figures_table(
            [*report.get("figures", ()), *report.get("browser", ())]
        ),
    }


def _ratio(one: Mapping[str, Any]) -> str:
    return f"{one['p50_ms'] / one['bare_ms']:.1f}" if one["bare_ms"] else "–"


def main() -> None:
    """Make a history or take the one that is given; measure; write report and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a history made by generate_history.py, as its owner")
    parser.add_argument("--detections", type=int, default=10_000_000, help="how many to make")
    parser.add_argument("--times", type=int, default=100, help="how often to ask for a page")
    parser.add_argument("--only", choices=("pages", "browser"))
    given = parser.parse_args()
    report = json.loads(OUTPUT.read_text("utf-8")) if OUTPUT.exists() else {}
    with (
        nullcontext(given.url) if given.url else made(given.detections) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        report |= _measured(connection, url, given.times, given.only)
    sys.stdout.write("\n".join(tables(report).values()))
    if report["detections"] < FULL_SIZE:
        sys.stdout.write(f"Not written: {report['detections']:,} detections are a try.\n")
        return
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(report)), encoding="utf-8")


def _measured(
    connection: psycopg.Connection, url: str, times: int, only: str | None
) -> dict[str, Any]:
    """Return the parts of the report that were measured."""
    report: dict[str, Any] = {
        "detections": _row(connection, "SELECT count(*) FROM detections")[0],
        "load": round(os.getloadavg()[0], 1),
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rqc")))
        (folder / "objects").mkdir()
        _photograph(folder / "objects" / "any.jpg")
        objects = stack.enter_context(service("object_service", str(folder / "objects")))
        os.environ |= {
            "RETINUE_QUERY_DATABASE_URL": _as(url, "retinue_reader"),
            "RETINUE_CONSOLE_REVIEW_DATABASE_URL": _as(url, "retinue_reviewer"),
            "RETINUE_CONSOLE_PICTURES_DIR": str(folder / "pictures"),
            "AWS_ENDPOINT_URL": objects,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        queue = _queue(url)
        starts = []
        for _ in range(_STARTS - 1):
            with _served(folder / "log") as (_, _, started):
                starts.append(started)
        console, port, started = stack.enter_context(_served(folder / "log"))
        starts.append(started)
        _tell(f"starts: {', '.join(f'{each:.2f}' for each in starts)} s")
        client = stack.enter_context(
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60))
        )
        if only != "browser":
            with _noted() as note:
                took = [_page(client, note, one, times, url) for one in pages(connection, queue)]
            save = _saves(client, queue)
            _tell(f"save of a review: {save:.0f} ms")
            figures = [
                Figure("save of a review, p95, ms", save, 50),
                *_thumbnails(client, connection),
                Figure("start to first answer, s", round(statistics.median(starts), 2), 1.5),
                Figure("resident memory of the server, MB", round(_resident(console) / 1e6), 150),
                Figure(
                    "memory while both decoders make thumbnails, shared pages once, MB",
                    round(_busy_bytes(console, port, connection) / 1e6),
                    150,
                ),
            ]
            report["pages"] = [asdict(one) for one in took]
            report["figures"] = [asdict(one) for one in figures]
        if only != "pages" and (chromium := find_chromium()) is not None:
            seen = _in_browser(chromium, f"http://127.0.0.1:{port}", queue, connection)
            report["browser"] = [asdict(one) for one in seen]
    return report


def _tell(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")


def _resident(console: MeasuredProcess) -> int:
    return int(psutil.Process(console.pid).memory_info().rss)


@contextmanager
def _served(log: Path) -> Iterator[tuple[MeasuredProcess, int, float]]:
    """Serve the console; yields its process, its port, and the seconds until it answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    began = time.monotonic()
    command = [sys.executable, "-m", "retinue_cli", "console", "--port", str(port)]
    console = MeasuredProcess(command, os.environ, log)
    try:
        while True:
            console.check()
            with contextlib.suppress(OSError):
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("GET", "/newest.json")
                answer = client.getresponse()
                answer.read()
                client.close()
                if answer.status == 200:
                    break
            time.sleep(0.01)
        yield console, port, time.monotonic() - began
    finally:
        console.stop()


Note = list[tuple[str, Any, Any]]
"""Queries that were asked: the login, the query and its values."""


@contextmanager
def _noted() -> Iterator[Callable[[str], Note]]:
    """Yield a function that returns the queries of a page, which a console of our own serves."""
    asked: Note = []
    execute = psycopg.Cursor.execute

    def noting(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        text = query if isinstance(query, str | bytes) else query.as_string(None)
        words = (text.encode() if isinstance(text, str) else text).split()
        if words[0] not in (b"SET", b"BEGIN", b"COMMIT"):
            asked.append((self.connection.info.user, query, params))
        return execute(self, query, params, **more)

    settings = ConsoleSettings.load(port=None)
    worker_settings = Settings.load()
    with ExitStack() as stack:
        environment = os.environ
        database = stack.enter_context(closing(Database(environment["RETINUE_QUERY_DATABASE_URL"])))
        reviews = stack.enter_context(
            closing(Reviews(database, environment["RETINUE_CONSOLE_REVIEW_DATABASE_URL"]))
        )
        pictures = stack.enter_context(open_pictures(database, settings, worker_settings))
        app = make_app(Services(database, reviews, pictures, settings, {}))
        client = TestClient(app, base_url="http://127.0.0.1")

        def note(address: str) -> Note:
            client.get("/newest")  # checks the logins
            asked.clear()
            with patch.object(psycopg.Cursor, "execute", noting):
                client.get(address).raise_for_status()
            return list(asked)

        yield note


def _page(
    client: http.client.HTTPConnection,
    note: Callable[[str], Note],
    page: Asked,
    times: int,
    url: str,
) -> Took:
    numbers = random.Random(7)
    client.close()  # the server has done so after a pause; the next request connects again
    for _ in range(_WARM):
        _get(client, page.address(numbers))
    spent, sizes = [], []
    for _ in range(times):
        milliseconds, size = _get(client, page.address(numbers))
        spent.append(milliseconds)
        sizes.append(size)
    bare, queries = [], 0
    with ExitStack() as stack:
        logins: dict[str, psycopg.Connection] = {}
        for _ in range(_BARE + _WARM):
            asked = note(page.address(numbers))
            queries = max(queries, len(asked))
            for login in {login for login, _, _ in asked} - logins.keys():
                own = psycopg.connect(_as(url, login), autocommit=True)
                logins[login] = stack.enter_context(own)
            began = time.perf_counter()
            for login, query, values in asked:
                logins[login].execute(query, values).fetchall()
            bare.append((time.perf_counter() - began) * 1000)
    took = Took(
        page.name,
        round(statistics.median(spent), 1),
        _p95(spent),
        page.target_ms,
        round(statistics.median(bare[_WARM:]), 2),
        queries,
        round(statistics.median(sizes) / 1000, 1),
    )
    _tell(f"{page.name}: {took.p50_ms:.0f} · {took.p95_ms:.0f} ms, bare {took.bare_ms:.0f}")
    return took


def _get(client: http.client.HTTPConnection, address: str) -> tuple[float, int]:
    """Ask for an address; returns the milliseconds and the bytes."""
    began = time.perf_counter()
    client.request("GET", address, headers={"Accept-Encoding": "gzip"})
    answer = client.getresponse()
    data = answer.read()
    milliseconds = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise RuntimeError(f"{address} answered {answer.status}")
    return milliseconds, len(data)


def _saves(client: http.client.HTTPConnection, queue: str) -> float:
    """Accept what is shown, image by image; returns the 95th percentile of a save."""
    client.close()
    spent = []
    for _ in range(_SAVES):
        client.request("GET", f"/review/{queue}.json")
        task = json.loads(client.getresponse().read())["task"]
        items = [
            {
                "decision": "accept",
                "kind": one["kind"],
                "label": one["label"],
                "box": one["box"],
                "shown": one,
            }
            for one in task["shown"]
        ]
        body = {
            "image_id": task["image"]["image_id"],
            "key": str(uuid4()),
            "lease": task["lease"],
            "items": items,
            "exhaustive": True,
            "seconds": 1.5,
            "scope_kinds": task["scope"]["kinds"],
            "scope_labels": task["scope"]["labels"],
        }
        began = time.perf_counter()
        client.request(
            "POST",
            f"/review/{queue}/save",
            json.dumps(body),
            {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"},
        )
        answer = client.getresponse()
        said = answer.read()
        spent.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"a save answered {answer.status}: {said[:300]!r}")
    return _p95(spent)


def _thumbnails(client: http.client.HTTPConnection, connection: psycopg.Connection) -> list[Figure]:
    """Make thumbnails, and ask for them again."""
    images = _row(connection, "SELECT count(*) FROM images")[0]
    numbers = random.Random(11)
    wanted = [image_id(numbers.randrange(images)) for _ in range(30)]
    first = [_get(client, f"/pictures/{each}/thumbnail") for each in wanted]
    again = [_get(client, f"/pictures/{each}/thumbnail") for each in wanted * 4]
    return [
        Figure(
            "thumbnail made from 12 megapixels, p95, ms", _p95([spent for spent, _ in first]), 250
        ),
        Figure("thumbnail in the cache, p95, ms", _p95([spent for spent, _ in again]), 10),
        Figure("largest thumbnail, KB", round(max(size for _, size in first) / 1000, 1), 25),
    ]


def _busy_bytes(console: MeasuredProcess, port: int, connection: psycopg.Connection) -> int:
    """Return the most memory of the console's processes while thumbnails are made."""
    images = _row(connection, "SELECT count(*) FROM images")[0]

    def ask(seed: int) -> None:
        numbers = random.Random(seed)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            for _ in range(_BUSY_PICTURES):
                _get(client, f"/pictures/{image_id(numbers.randrange(images))}/thumbnail")

    most = 0
    with ThreadPoolExecutor(_BUSY_CLIENTS) as threads:
        asked = [threads.submit(ask, 100 + seed) for seed in range(_BUSY_CLIENTS)]
        while not all(one.done() for one in asked):
            most = max(most, console.proportional_bytes())
        for one in asked:
            one.result()
    return most


_WATCH = """
window.seen = {fcp: 0, lcp: 0, cls: 0, inp: 0};
const watch = (type, note, more) => new PerformanceObserver(
    list => list.getEntries().forEach(note)).observe({type, buffered: true, ...more});
watch("paint", one => { if (one.name === "first-contentful-paint") seen.fcp = one.startTime; });
watch("largest-contentful-paint", one => { seen.lcp = one.startTime; });
watch("layout-shift", one => { if (!one.hadRecentInput) seen.cls += one.value; });
watch("event", one => { if (one.interactionId) seen.inp = Math.max(seen.inp, one.duration); },
    {durationThreshold: 16});
"""


def _in_browser(
    chromium: Chromium, address: str, queue: str, connection: psycopg.Connection
) -> list[Figure]:
    """Open pages in a slow browser; returns the worst of the pages' medians."""
    [newest] = _row(connection, "SELECT image_id FROM images ORDER BY uploaded_at DESC LIMIT 1")
    keys = {
        "/": ["Tab", "Tab"],
        "/images": ["Tab", "Tab"],
        f"/images/{newest}": ["Tab", "Tab"],
        f"/review/{queue}": ["ArrowDown", "a", "ArrowDown", "x", "h", "h"],
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.path, args=chromium.arguments)
        seen = [
            [_opened(browser, f"{address}{page}", pressed) for _ in range(_BROWSER_ROUNDS)]
            for page, pressed in keys.items()
        ]
        browser.close()

    def worst(what: str) -> float:
        return max(statistics.median(one[what] for one in rounds) for rounds in seen)

    return [
        Figure("first contentful paint, s", round(worst("fcp") / 1000, 2), 1.0),
        Figure("largest contentful paint, s", round(worst("lcp") / 1000, 2), 2.0),
        Figure("cumulative layout shift", round(worst("cls"), 3), 0.05),
        Figure("interaction to next paint, ms", round(worst("inp")), 200),
    ]


def _opened(browser: Browser, address: str, keys: Sequence[str]) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.add_init_script(_WATCH)
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
    page.goto(address, wait_until="networkidle")
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(300)
    seen: dict[str, float] = page.evaluate("window.seen")
    context.close()
    _tell(f"{address}: {', '.join(f'{name} {value:.3g}' for name, value in seen.items())}")
    return seen


def _queue(url: str) -> str:
    """Make a queue of images; returns its name."""
    name = f"bench-{time.time_ns()}"
    with (
        closing(Database(_as(url, "retinue_reader"))) as database,
        closing(Reviews(database, _as(url, "retinue_reviewer"))) as reviews,
        reviews.connections() as (reader, reviewer),
    ):
        of_some = Selection(prefix="0000/")
        create_queue(reader, reviewer, QueueDefinition(name, of_some, "random", 1_000), "bench")
    return name


def _photograph(path: Path) -> None:
    """Write a JPEG of 12 megapixels that compresses like a photograph."""
    noise = Image.effect_noise((768, 432), 60).resize((4608, 2592), Image.Resampling.BICUBIC)
    Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).save(path, quality=88)


def _as(url: str, login: str) -> str:
    return make_url(url).set(username=login).render_as_string(hide_password=False)


def _with(path: str, **parameters: Any) -> str:
    return f"{path}?{urlencode(parameters)}"


def _p95(milliseconds: Sequence[float]) -> float:
    return round(sorted(milliseconds)[int(len(milliseconds) * 0.95)], 1)


def _row(connection: psycopg.Connection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row


if __name__ == "__main__":
    main()
