"""Signing in at an OpenID provider, in a real browser."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from console.browser.conftest import served
from console.identity_provider import CLIENT_ID, CLIENT_SECRET, running
from playwright.sync_api import Page, expect
from retinue_console.command import listen
from retinue_console.page import Services
from retinue_console.settings import ConsoleSettings


@pytest.fixture
def signed_in(services: Services) -> Iterator[str]:
    """The address of a console at which a provider signs Ann in, who is an admin."""
    listener = listen(ConsoleSettings(port=0))
    with running() as provider:
        settings = ConsoleSettings(
            sign_in="oidc",
            oidc_issuer=provider.address,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=CLIENT_SECRET,
            public_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            login_rights={"ann@example.com": ["admin"]},
        )
        with served(replace(services, settings=settings), listener) as address:
            yield address


def test_a_search_after_the_session_ended_signs_in_and_searches(page: Page, signed_in: str) -> None:
    page.goto(f"{signed_in}/labels")
    expect(page.get_by_role("heading", level=1, name="Labels")).to_be_visible()
    page.context.clear_cookies(name="retinue-session")
    page.get_by_role("searchbox").fill("photo")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**/search?q=photo")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Search")


def test_a_form_after_the_session_ended_keeps_what_was_typed(page: Page, signed_in: str) -> None:
    page.goto(f"{signed_in}/review")
    expect(page.get_by_role("heading", level=1, name="Review")).to_be_visible()
    page.context.clear_cookies(name="retinue-session")
    page.get_by_label("Name").fill("lost")
    page.get_by_label("Look for labels").fill("cat, dog")
    page.get_by_role("button", name="Make the queue").click()
    expect(page.get_by_role("alert")).to_contain_text("You are signed out.")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in in another tab").click()
    expect(opened.value.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    page.get_by_role("button", name="Make the queue").click()
    page.wait_for_url("**/review/lost")
    page.goto(f"{signed_in}/review")
    page.get_by_role("button", name="Close lost").click()
    expect(page.get_by_role("row", name="lost closed")).to_be_visible()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 302, "headers": {"Location": "https://id.example/"}}, "You are signed out."),
        ({"status": 200, "body": "<html>Sign in</html>"}, "You are signed out."),
        ({"status": 503, "json": {"message": "The database doesn't answer."}}, "doesn't answer"),
        ({"status": 502, "body": "Bad gateway"}, "The server answered 502."),
        (None, "The console can't be reached."),
    ],
)
def test_a_form_that_cannot_be_sent_says_why(
    page: Page, address: str, answer: dict[str, Any] | None, reason: str
) -> None:
    page.route(
        "**/newest.json",
        lambda route: route.abort() if answer is None else route.fulfill(**answer),
    )
    page.goto(f"{address}/review")
    page.get_by_label("Name").fill("kept")
    alert = page.get_by_role("alert")
    for _ in range(2):
        page.get_by_role("button", name="Make the queue").click()
        expect(alert).to_contain_text(reason)
        alert.evaluate("one => one.replaceChildren()")  # the second time must say it again
    expect(page.get_by_label("Name")).to_have_value("kept")


def test_a_search_goes_where_a_proxy_sends_it_to_sign_in(page: Page, address: str) -> None:
    with running() as provider:
        elsewhere = f"{provider.address}/.well-known/openid-configuration"
        page.route(
            "**/search?*", lambda route: route.fulfill(status=302, headers={"Location": elsewhere})
        )
        page.goto(f"{address}/labels")
        page.get_by_role("searchbox").fill("photo")
        page.get_by_role("searchbox").press("Enter")
        page.wait_for_url(elsewhere)
