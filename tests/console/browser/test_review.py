"""Review in a real browser: by keyboard, by pointer, offline, and with undo."""

import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from retinue_console.database import Database, Reviews
from retinue_history.analysis.selection import Selection
from retinue_history.review.answers import StandingAnswer, answers_of
from retinue_history.review.queues import QueueDefinition, create_queue


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
def task(page: Page, address: str, queue: str) -> Page:
    """A tab with the first image of the queue."""
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


def test_keys_can_be_changed_and_turned_off(task: Page) -> None:
    press(task, "?")
    task.get_by_role("button", name="Accept the finding").click()
    press(task, "y", "Escape", "y")
    expect(task.locator("#items")).to_contain_text("accepted")
    press(task, "?")
    task.get_by_label("Keys are on").uncheck()
    press(task, "Escape", "x")
    expect(task.locator("#items")).to_contain_text("accepted")


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
