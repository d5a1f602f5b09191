"""Review in a real browser: by keyboard, by pointer, offline, and with undo."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import pytest
from console.browser.conftest import served
from console.conftest import image_of as image_of_key
from playwright.sync_api import Browser, Dialog, Page, Route, expect
from retinue_console.database import Database, Reviews
from retinue_console.page import Services
from retinue_console.settings import ConsoleSettings
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord
from retinue_history.analysis.selection import Selection
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import StandingAnswer, answers_of, save_answer
from retinue_history.review.queues import QueueDefinition, create_queue

Record: TypeAlias = Callable[..., uuid.UUID]


@pytest.fixture
def queue(reviews: Reviews) -> str:
    """A queue of images with one finding each."""
    name = f"queue-{uuid.uuid4().hex[:8]}"
    with reviews.connections() as (reader, reviewer):
        create_queue(
            reader,
            reviewer,
            QueueDefinition(name, Selection(prefix="photo"), "random", 10, audit_share=0.0),
            "tester",
        )
    return name


@pytest.fixture
def record(console_url: str) -> Iterator[Record]:
    """Record an image with detections, kinds and labels by detector; returns the image's id.

    Of the kind ``scene``, they are of the whole image. A later version may find others.
    """
    with closing(ConnectionPool(console_url, application_name="test")) as pool:

        def add(name: str, version: str = "1", **found: list[tuple[str, str]]) -> uuid.UUID:
            image = image_of_key(name)
            runs = [
                RunRecord(
                    RunKey(image.image_id, detector, version, "f"),
                    f"event {name}",
                    outcome="succeeded",
                    retryable=False,
                    started_at=datetime.now(UTC),
                    duration_ms=1.0,
                    detections=tuple(
                        DetectionRecord(
                            kind, label, 0.5, None if kind == "scene" else (0.1, 0.1, 0.5, 0.5)
                        )
                        for kind, label in labels
                    ),
                )
                for detector, labels in found.items()
            ]
            History(pool).record([image], runs)
            return image.image_id

        yield add


@pytest.fixture
def task(page: Page, address: str, queue: str) -> Page:
    """A tab with the first image of the queue. Tests may route its saves."""
    # Routing starts before the page: requests just after the first route may pass unseen. The
    # pattern is another than the tests', as unroute removes all routes of a pattern.
    page.route("**/review/*/save", lambda route: route.fallback())
    page.goto(f"{address}/review/{queue}")
    expect(page.locator("#items li")).to_have_count(1)
    return page


def image_of(page: Page) -> uuid.UUID:
    shown: dict[str, Any] = page.evaluate(
        "JSON.parse(document.getElementById('review').dataset.task)"
    )
    return uuid.UUID(shown["image"]["image_id"])


def answers(database: Database, image: uuid.UUID, queue: str) -> list[StandingAnswer]:
    with database.read() as reader:
        return answers_of(reader, image, queue)


def next_image(page: Page, before: uuid.UUID) -> None:
    """Wait until the page shows another image, or none, and its scripts run: they take the keys."""
    page.wait_for_function(
        "before => document.readyState === 'complete' && JSON.parse("
        "document.getElementById('review')?.dataset.task ?? null)?.image.image_id !== before",
        arg=str(before),
    )


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_finding_is_accepted_and_the_next_image_shown(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    press(task, "a", "e", "Enter")
    next_image(task, image)
    expect(task.locator("#status")).to_contain_text("It is settled")
    [answer] = answers(database, image, queue)
    assert [one.decision for one in answer.answer.items] == ["accept"]
    assert answer.answer.exhaustive
    assert answer.answer.seconds is not None


def test_nothing_is_saved_as_complete_while_a_finding_is_undecided(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    press(task, "e", "Enter")
    expect(task.locator("#problem")).to_contain_text("One finding is undecided")
    assert answers(database, image, queue) == []


def test_boxes_are_drawn_by_dragging_by_clicks_and_by_keys(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    press(task, "x", "n")
    area = task.locator("#canvas").bounding_box()
    assert area is not None

    def at(x: float, y: float) -> tuple[float, float]:
        return area["x"] + x * area["width"], area["y"] + y * area["height"]

    task.mouse.move(*at(0.5, 0.5))
    task.mouse.down()
    task.mouse.move(*at(0.7, 0.8), steps=4)
    task.mouse.up()
    task.keyboard.type("dragged")
    press(task, "Enter")
    press(task, "n")
    task.mouse.click(*at(0.1, 0.2))
    task.mouse.click(*at(0.3, 0.6))
    task.keyboard.type("clicked")
    press(task, "Enter")
    press(task, "n", "n")
    task.keyboard.type("typed")
    press(task, "Enter", "ArrowRight", "m", "ArrowDown", "Enter")
    next_image(task, image)
    [answer] = answers(database, image, queue)
    marked = {one.label: one.box for one in answer.answer.items if one.decision == "add"}
    assert marked.keys() == {"dragged", "clicked", "typed"}
    assert marked["dragged"] == pytest.approx((0.5, 0.5, 0.2, 0.3), abs=0.01)
    assert marked["clicked"] == pytest.approx((0.1, 0.2, 0.2, 0.4), abs=0.01)
    assert marked["typed"] == pytest.approx((0.305, 0.3, 0.4, 0.405))


def test_a_box_whose_label_is_cancelled_is_not_added(task: Page) -> None:
    press(task, "n", "n")
    task.keyboard.type("kept")
    press(task, "Enter")
    expect(task.locator("#status")).to_have_text("Arrow keys move the box.")
    press(task, "n", "n", "Escape", "ArrowUp")
    expect(task.locator("#items .selected")).to_contain_text("undecided")
    expect(task.locator("#items li")).to_have_count(2)
    press(task, "n", "n")
    task.get_by_role("button", name="Cancel").click()
    expect(task.locator("#items li")).to_have_count(2)
    press(task, "n", "n", "Delete", "Enter")
    expect(task.locator("#items li")).to_have_count(2)
    press(task, "l", "Escape")
    expect(task.locator("#items .add bdi")).to_have_text("kept")


def test_choosing_a_finding_scrolls_the_list_and_not_the_page(
    page: Page, address: str, record: Record
) -> None:
    labels = [f"thing {number}" for number in range(30)]
    image = record("scrolled.jpg", things=[("animal", one) for one in labels])
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{address}/review/corrections?image={image}")
    for _ in range(2):
        press(page, *["ArrowDown"] * 15)
        chosen = page.locator("#items .selected")
        seen = """line => {
            const [own, list] = [line, line.parentNode].map(one => one.getBoundingClientRect());
            return own.top >= list.top - 1 && own.bottom <= list.bottom + 1;
        }"""
        assert chosen.evaluate(seen)
        assert page.evaluate("scrollY") == 0
    expect(chosen.locator("bdi")).to_have_text("thing 0")
    chosen.locator(".finding").focus()
    press(page, "ArrowUp")
    expect(page.locator("#items .selected .finding")).to_be_focused()
    expect(page.locator("#items .selected")).to_be_in_viewport()


def test_a_palm_beside_the_pointer_does_not_move_its_box(task: Page) -> None:
    palm = """(canvas, name) => canvas.dispatchEvent(new PointerEvent(name,
        { pointerId: 77, bubbles: true, button: 0, clientX: 600, clientY: 400 }))"""
    canvas = task.locator("#canvas")
    area = canvas.bounding_box()
    assert area is not None
    press(task, "n")
    task.mouse.move(area["x"] + 0.1 * area["width"], area["y"] + 0.1 * area["height"])
    task.mouse.down()
    task.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.2 * area["height"], steps=3)
    for name in ("pointerdown", "pointermove", "pointerup"):
        canvas.evaluate(palm, name)
    task.mouse.up()
    task.keyboard.type("small")
    press(task, "Enter")
    drawn = task.locator("#boxes .add")
    expect(drawn).to_have_count(1)
    width, height = (float(drawn.get_attribute(side) or "nan") for side in ("width", "height"))
    assert (width, height) == pytest.approx((0.2, 0.1), abs=0.01)


def test_a_box_is_entered_as_numbers_that_stay_within_the_picture(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    left, width = (task.locator(f"[data-side='{side}']") for side in (0, 2))
    left.select_text()
    for number in ("20", "10", "60", "0"):
        task.keyboard.type(number)
        press(task, "Tab")
    left.fill("95")
    press(task, "Tab")
    expect(width).to_have_value("5.0")
    task.locator("#stage").focus()
    press(task, "Enter")
    next_image(task, image)
    [answer] = answers(database, image, queue)
    [item] = answer.answer.items
    assert item.box == pytest.approx((0.95, 0.1, 0.05, 0.002))


def test_no_label_is_lost_however_fast_boxes_are_added(task: Page) -> None:
    add = """label => {
      for (const key of ["n", "n"]) document.dispatchEvent(new KeyboardEvent("keydown", { key }));
      const input = document.getElementById("label-input");
      input.value = label;
      input.form.requestSubmit();
    }"""
    # In one turn of the page's event loop: what the browser queues comes after all of them.
    task.evaluate(f"['first', 'second', 'third'].forEach({add})")
    expect(task.locator("#items bdi").filter(has_not_text="photo")).to_have_text(
        ["first", "second", "third"]
    )


def test_a_draft_survives_a_reload(task: Page) -> None:
    press(task, "x")
    expect(task.locator("#items")).to_contain_text("rejected")
    task.reload()
    expect(task.locator("#items")).to_contain_text("rejected")


def test_people_who_share_a_browser_have_drafts_of_their_own(
    browser: Browser, services: Services, queue: str
) -> None:
    settings = ConsoleSettings(
        sign_in="header",
        trusted_proxies="127.0.0.1",
        proxy_secret="s" * 20,
        login_rights={"ann": ["reviewer"], "bob": ["reviewer"]},
    )
    with (
        served(replace(services, settings=settings)) as address,
        closing(browser.new_context()) as context,
        closing(context.new_page()) as page,
    ):

        def show(login: str, query: str = "") -> None:
            context.set_extra_http_headers(
                {"X-Retinue-Proxy-Secret": "s" * 20, "X-Forwarded-Email": login}
            )
            page.goto(f"{address}/review/{queue}{query}")
            page.wait_for_function("!document.getElementById('review').inert")

        show("ann")
        image = image_of(page)
        press(page, "x")
        show("bob", f"?image={image}")
        expect(page.locator("#items")).to_contain_text("undecided")
        show("ann")
        expect(page.locator("#items")).to_contain_text("rejected")
        press(page, "e", "Enter")
        next_image(page, image)
        show("bob")
        expect(page.locator("#status")).to_have_text("")
        press(page, "u")
        expect(page.locator("#status")).to_have_text("There is nothing to undo.")


def test_a_save_without_connection_is_sent_again_and_once(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    press(task, "a")
    task.context.set_offline(offline=True)
    press(task, "Enter")
    expect(task.locator("#problem")).to_contain_text("Not saved yet")
    task.context.set_offline(offline=False)
    next_image(task, image)
    assert len(answers(database, image, queue)) == 1


def test_a_save_whose_answer_is_lost_adds_nothing_twice(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    lost = []

    def lose(route: Any) -> None:
        if lost:
            route.continue_()
        else:
            route.fetch()
            lost.append(True)
            route.abort()

    task.route("**/save", lose)
    press(task, "a", "Enter")
    next_image(task, image)
    with database.read() as reader:
        [(number,)] = reader.execute(
            "SELECT count(*) FROM answers JOIN review_queues USING (queue_id) WHERE name = %s",
            [queue],
        ).fetchall()
    assert (len(lost), number) == (1, 1)


def test_undo_brings_the_image_back_as_it_was_answered(
    task: Page, queue: str, database: Database
) -> None:
    image = image_of(task)
    press(task, "x", "Enter")
    next_image(task, image)
    press(task, "u")
    expect(task.locator("#items")).to_contain_text("rejected")
    assert image_of(task) == image
    assert answers(database, image, queue) == []


def fulfill(route: Route, **answer: Any) -> None:
    route.fulfill(**answer)


def test_what_a_proxy_answers_is_no_save(task: Page, queue: str, database: Database) -> None:
    image = image_of(task)
    sign_in = "<!doctype html><title>Sign in</title>"
    answers_of_proxy = [
        {"status": 302, "headers": {"Location": "https://id.example.com/"}},
        {"status": 302, "headers": {"Location": "/sign-in"}},
        {"status": 200, "content_type": "text/html", "body": sign_in},
        {"status": 401, "content_type": "text/html", "body": sign_in},
    ]
    for answer in answers_of_proxy:
        task.route("**/save", partial(fulfill, **answer))
        press(task, "a", "Enter")
        expect(task.locator("#problem")).to_contain_text("You are signed out")
        press(task, "x")
        expect(task.locator("#problem")).to_be_hidden()
        task.unroute("**/save")
    assert answers(database, image, queue) == []
    press(task, "Enter")
    next_image(task, image)
    [answer] = answers(database, image, queue)
    assert [one.decision for one in answer.answer.items] == ["reject"]


def test_changes_during_a_save_are_not_lost(task: Page, queue: str, database: Database) -> None:
    image = image_of(task)
    task.context.set_offline(offline=True)
    press(task, "a", "Enter")
    expect(task.locator("#problem")).to_contain_text("Not saved yet")
    press(task, "x", "Enter")
    expect(task.locator("#problem")).to_contain_text("Not saved yet")
    task.context.set_offline(offline=False)
    expect(task.locator("#problem")).to_contain_text("Saved without your last changes")
    assert image_of(task) == image
    press(task, "Enter")
    next_image(task, image)
    [answer] = answers(database, image, queue)
    assert [one.decision for one in answer.answer.items] == ["reject"]
    assert not answer.late


FULL = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }"

BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("", "SecurityError"); } });
}"""


@pytest.mark.parametrize("storage", [FULL, BLOCKED])
def test_a_browser_that_keeps_nothing_saves(
    page: Page, address: str, queue: str, database: Database, storage: str
) -> None:
    page.add_init_script(storage)
    page.goto(f"{address}/review/{queue}")
    image = image_of(page)
    press(page, "x")
    expect(page.locator("#status")).to_contain_text("keeps no drafts")
    press(page, "n", "n")
    page.keyboard.type("added")
    press(page, "Enter")
    expect(page.locator("#items bdi")).to_contain_text(["added"])
    press(page, "Enter")
    next_image(page, image)
    [answer] = answers(database, image, queue)
    assert {one.decision for one in answer.answer.items} == {"reject", "add"}


def test_an_answer_that_took_days_is_saved(page: Page, address: str, queue: str) -> None:
    page.clock.install()
    page.goto(f"{address}/review/{queue}")
    expect(page.locator("#items li")).to_have_count(1)
    image = image_of(page)
    page.clock.fast_forward(72 * 3_600_000)
    press(page, "a", "Enter")
    next_image(page, image)


def test_undo_shows_what_the_queue_shows(
    page: Page, address: str, reviews: Reviews, record: Record
) -> None:
    name = f"queue-{uuid.uuid4().hex[:8]}"
    image = record(f"{name}.jpg", cats=[("label", "cat")], dogs=[("label", "dog")])
    with reviews.connections() as (reader, reviewer):
        create_queue(
            reader,
            reviewer,
            QueueDefinition(name, Selection(detectors=("cats",), prefix=name), audit_share=0.0),
            "tester",
        )
    page.goto(f"{address}/review/{name}")
    expect(page.locator("#items bdi")).to_have_text(["cat"])
    press(page, "x", "Enter")
    expect(page.locator("main")).to_contain_text("No images are left for you")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**?image=*")
    expect(page.locator("#items bdi")).to_have_text(["cat"])
    expect(page.locator("#items")).to_contain_text("rejected")
    assert image_of(page) == image


def test_undo_during_a_save_undoes_that_save(task: Page, queue: str, database: Database) -> None:
    first = image_of(task)
    press(task, "a", "Enter")
    next_image(task, first)
    second = image_of(task)
    saves: list[Route] = []
    task.route("**/save", lambda route: saves.append(route))
    with task.expect_request("**/save"):
        press(task, "x", "Enter", "u")
    expect(task.locator("#status")).to_contain_text("as soon as it is saved")
    saves[0].continue_()
    task.wait_for_url("**?image=*")
    expect(task.locator("#items")).to_contain_text("rejected")
    assert image_of(task) == second
    [answer] = answers(database, first, queue)
    assert [one.decision for one in answer.answer.items] == ["accept"]
    assert answers(database, second, queue) == []


def test_nothing_moves_when_the_list_is_filled(page: Page, address: str, queue: str) -> None:
    page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => {
          for (const shift of list.getEntries()) window.moved += shift.value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )

    def late(route: Route) -> None:
        page.wait_for_timeout(500)  # the rest of the page is shown by then
        route.continue_()

    page.route("**/review.js*", late)
    page.goto(f"{address}/review/{queue}")
    expect(page.locator("#items li")).to_have_count(1)
    page.wait_for_timeout(200)
    assert page.evaluate("window.moved") < 0.005


def test_keys_before_the_next_image_shows_change_nothing(task: Page) -> None:
    image = image_of(task)
    task.evaluate(
        """() => new MutationObserver(() => {
          document.dispatchEvent(new KeyboardEvent("keydown", { key: "x" }));
          sessionStorage.setItem("drafts", Object.keys(localStorage).join());
        }).observe(document.getElementById("review"), { attributeFilter: ["inert"] })"""
    )
    press(task, "a", "Enter")
    next_image(task, image)
    assert task.evaluate("sessionStorage.getItem('drafts')") == ""


def test_an_adjudicator_who_undoes_decides_again(
    page: Page, address: str, reviews: Reviews, record: Record, database: Database
) -> None:
    name = f"queue-{uuid.uuid4().hex[:8]}"
    image = record(f"{name}.jpg", cats=[("label", "cat")])
    with reviews.connections() as (reader, reviewer):
        create_queue(
            reader,
            reviewer,
            QueueDefinition(name, Selection(prefix=name), overlap=2, audit_share=0.0),
            "tester",
        )
        for person, label in (("ann", "lynx"), ("ben", "lion"), ("cy", "puma")):
            save_answer(
                reviewer,
                name,
                image,
                person,
                Answer((AnswerItem("add", "label", label, (0.1, 0.1, 0.5, 0.5)),), exhaustive=True),
                key=uuid.uuid4(),
            )
    page.goto(f"{address}/review/{name}?adjudicate=true")
    press(page, "a", "Enter")
    expect(page.locator("main")).to_contain_text("No images are left for you")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**?image=*")
    expect(page.locator("#items")).to_contain_text("accepted")
    expect(page.locator("main")).to_contain_text("your answer decides")
    expect(page.locator("main")).to_contain_text("lynx")
    press(page, "Enter")
    expect(page.locator("main")).to_contain_text("1 settled, 0 open with others, 0 disputed")
    assert answers(database, image, name)[-1].answer.adjudicates


def test_what_is_drawn_has_the_kind_of_its_label(
    page: Page, address: str, record: Record, database: Database
) -> None:
    record("kinds-of-others.jpg", cats=[("label", "hat")], faces=[("face", "Face")])
    image = record("kinds.jpg", faces=[("face", "Face")])
    page.goto(f"{address}/review/corrections?image={image}")
    press(page, "a")
    for label in ("Face", "hat", "never seen"):
        press(page, "n", "n")
        page.keyboard.type(label)
        press(page, "Enter")
        expect(page.locator("#items bdi").last).to_have_text(label)
    press(page, "Enter")
    page.wait_for_url("**/images/*")
    [answer] = answers(database, image, "corrections")
    assert [(one.kind, one.label) for one in answer.answer.items] == [
        ("face", "Face"),
        ("face", "Face"),
        ("label", "hat"),
        ("label", "never seen"),
    ]


@pytest.mark.parametrize("is_saved", [True, False])
def test_decisions_outlive_the_findings_that_they_are_about(
    page: Page, address: str, record: Record, database: Database, *, is_saved: bool
) -> None:
    name = f"outlived {is_saved}.jpg"
    image = record(name, animals=[("animal", one) for one in ("cat", "cow", "dog", "fox")])
    page.goto(f"{address}/review/corrections?image={image}")
    press(page, "a", "l")
    page.keyboard.type("bull")
    press(page, "Enter", "ArrowDown", "x", "a", "e")
    if is_saved:
        press(page, "Enter")
        page.wait_for_url("**/images/*")
    record(name, "2", animals=[("animal", one) for one in ("cat", "cow", "dog", "new")])
    page.goto(f"{address}/review/corrections?image={image}")
    expect(page.locator("#items .accept bdi")).to_have_text("cat")
    expect(page.locator("#items .change bdi")).to_have_text("bull")
    expect(page.locator("#items .reject bdi")).to_have_text("dog")
    expect(page.locator("#items .undecided bdi")).to_have_text("new")
    expect(page.locator("#items .add bdi")).to_have_text("fox")
    press(page, "A", "Enter")
    page.wait_for_url("**/images/*")
    standing = answers(database, image, "corrections")[-1].answer
    assert standing.exhaustive
    assert [(one.decision, one.kind, one.label) for one in standing.items] == [
        ("accept", "animal", "cat"),
        ("change", "animal", "bull"),
        ("reject", "animal", "dog"),
        ("accept", "animal", "new"),
        ("add", "animal", "fox"),
    ]


def test_a_label_of_the_whole_image_is_added(
    page: Page, address: str, record: Record, database: Database
) -> None:
    image = record("whole.jpg", scenes=[("scene", "Beach")])
    page.goto(f"{address}/review/corrections?image={image}")
    for label in ("Sunset", "Beach"):
        press(page, "w")
        page.keyboard.type(label)
        press(page, "Enter")
    expect(page.locator("#items bdi")).to_have_text(["Beach", "Sunset"])
    expect(page.locator("#items")).to_contain_text("added · whole image")
    press(page, "w", "Escape", "Enter")
    page.wait_for_url("**/images/*")
    [answer] = answers(database, image, "corrections")
    assert [(one.decision, one.label, one.box) for one in answer.answer.items] == [
        ("accept", "Beach", None),
        ("add", "Sunset", None),
    ]


def test_a_long_text_is_accepted(
    page: Page, address: str, record: Record, database: Database
) -> None:
    text = "x" * 2_048
    image = record("long.jpg", words=[("text", text)])
    page.goto(f"{address}/review/corrections?image={image}")
    press(page, "a", "Enter")
    page.wait_for_url("**/images/*")
    [answer] = answers(database, image, "corrections")
    assert [one.label for one in answer.answer.items] == [text]


def test_keys_can_be_changed_and_turned_off(task: Page) -> None:
    press(task, "?")
    task.get_by_role("button", name="Accept the finding").click()
    press(task, "y", "Escape", "y")
    expect(task.locator("#items")).to_contain_text("accepted")
    press(task, "?")
    task.get_by_label("Keys are on").uncheck()
    press(task, "Escape", "x")
    expect(task.locator("#items")).to_contain_text("accepted")


def test_a_digit_can_be_the_key_of_an_action(task: Page) -> None:
    press(task, "l")
    task.keyboard.type("photo")
    press(task, "Enter", "?")
    task.get_by_role("button", name="Reject the finding").click()
    press(task, "1", "Escape", "1")
    expect(task.locator("#items")).to_contain_text("rejected")


def test_a_key_that_is_held_decides_and_saves_once(
    page: Page, address: str, record: Record, database: Database
) -> None:
    image = record("held.jpg", animals=[("animal", one) for one in ("cat", "cow", "dog")])
    page.goto(f"{address}/review/corrections?image={image}")
    for _ in range(3):
        page.keyboard.down("x")
    page.keyboard.up("x")
    expect(page.locator("#items .reject")).to_have_count(1)
    for _ in range(3):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    expect(page.locator("#problem")).to_contain_text("Save again to save the rest")
    assert answers(database, image, "corrections") == []
    for _ in range(5):
        page.keyboard.down("ArrowDown")
    page.keyboard.up("ArrowDown")
    expect(page.locator("#items .selected bdi")).to_have_text("cat")


def test_a_queue_is_worked_off_with_two_keys_an_image(task: Page, queue: str) -> None:
    for _ in range(20):
        if task.locator("#review").count() == 0:
            break
        image = image_of(task)
        press(task, "a", "Enter")
        next_image(task, image)
    expect(task.locator("main")).to_contain_text("No images are left for you")
    task.get_by_role("button", name="Undo").click()
    expect(task.locator("#items")).to_contain_text("accepted")


@pytest.mark.parametrize("begun", ["n", "l", "w"])
def test_what_is_begun_during_a_save_is_not_lost(
    task: Page, queue: str, database: Database, begun: str
) -> None:
    image = image_of(task)
    saves: list[Route] = []
    task.route("**/save", lambda route: saves.append(route))
    with task.expect_request("**/save"):
        press(task, "a", "Enter", begun)
    saves[0].continue_()
    expect(task.locator("#problem")).to_contain_text("Saved without your last changes")
    task.unroute("**/save")
    if begun == "n":
        press(task, "n")
    task.keyboard.type("lynx")
    press(task, "Enter", "Enter")
    next_image(task, image)
    [answer] = answers(database, image, queue)
    assert answer.answer.items[-1].label == "lynx"


def test_a_number_belongs_to_the_box_that_it_was_entered_for(
    page: Page, address: str, record: Record
) -> None:
    image = record("entered.jpg", things=[("animal", "cat"), ("animal", "dog")])
    page.goto(f"{address}/review/corrections?image={image}")
    press(page, "n", "n")
    page.keyboard.type("new")
    press(page, "Enter")
    page.locator("#items .selected [data-side='0']").select_text()
    page.keyboard.type("50")
    area = page.locator("#canvas").bounding_box()
    assert area is not None
    page.mouse.click(area["x"] + 0.2 * area["width"], area["y"] + 0.2 * area["height"])
    expect(page.locator("#boxes .selected")).to_have_attribute("x", "0.1")
    expect(page.locator("#items .selected")).to_contain_text("undecided")
    expect(page.locator("#boxes .add")).to_have_attribute("x", "0.5")


def test_a_second_click_presses_nothing_else(task: Page, queue: str, database: Database) -> None:
    image = image_of(task)
    task.evaluate(
        """() => {
          const press = (name, detail) => document.querySelector(name)
            .dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, detail }));
          press("[data-act=save]", 1);
          for (const other of ["newLabel", "acceptAll", "save"]) press(`[data-act=${other}]`, 2);
          press("#exhaustive", 2);
        }"""
    )
    expect(task.locator("#problem")).to_contain_text("Save again to save the rest")
    expect(task.locator("dialog[open]")).to_have_count(0)
    expect(task.locator("#items")).to_contain_text("undecided")
    expect(task.locator("#exhaustive")).not_to_be_checked()
    assert answers(database, image, queue) == []


def test_pressing_a_key_again_and_again_skips_one_image(task: Page) -> None:
    image = image_of(task)
    # For the next image, no time passes but what the test adds.
    task.add_init_script("window.now = 1000; performance.now = () => window.now;")
    press(task, "a", "s")
    next_image(task, image)
    second = image_of(task)
    for passed_ms in (0, 150, 150, 150):
        task.evaluate(f"window.now += {passed_ms}")
        press(task, "s")
        expect(task.locator("#status")).to_contain_text("just come up")
    assert image_of(task) == second
    task.evaluate("window.now += 500")
    press(task, "s")
    next_image(task, second)


def test_caps_lock_makes_no_other_keys(page: Page, address: str, record: Record) -> None:
    image = record("caps.jpg", animals=[("animal", "cat"), ("animal", "cow")])
    page.goto(f"{address}/review/corrections?image={image}")
    page.evaluate(
        "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'A', modifierCapsLock: true}))"
    )
    expect(page.locator("#items .accept")).to_have_count(1)
    expect(page.locator("#items .undecided")).to_have_count(1)


def test_the_browser_asks_before_a_save_on_its_way_is_left(task: Page) -> None:
    image = image_of(task)
    saves: list[Route] = []
    task.route("**/save", lambda route: saves.append(route))
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    task.on("dialog", stay)
    with task.expect_request("**/save"):
        press(task, "a", "Enter")
    with task.expect_event("dialog"):
        task.get_by_role("link", name="Images", exact=True).click(no_wait_after=True)
    assert asked == ["beforeunload"]
    saves[0].continue_()
    next_image(task, image)


def test_a_form_that_is_pressed_twice_is_sent_once(page: Page, address: str) -> None:
    sent: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(route)
        else:
            route.continue_()

    page.route("**/review", hold)
    page.goto(f"{address}/review")
    page.fill("#name", f"queue-{uuid.uuid4().hex[:8]}")
    make = page.get_by_role("button", name="Make the queue")
    with page.expect_request(lambda request: request.method == "POST"):
        make.evaluate("made => { made.click(); setTimeout(() => made.click(), 600); }")
    page.wait_for_timeout(1_200)
    assert len(sent) == 1
    sent[0].continue_()
    page.wait_for_url("**/review/queue-*")
