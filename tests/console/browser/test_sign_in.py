"""Signing in at an OpenID provider, in a real browser."""

import socket
from dataclasses import replace

from console.browser.conftest import served
from console.identity_provider import CLIENT_ID, CLIENT_SECRET, running
from playwright.sync_api import Page, expect
from retinue_console.page import Services
from retinue_console.settings import ConsoleSettings


def test_a_search_after_the_session_ended_signs_in_and_searches(
    page: Page, services: Services
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with running() as provider:
        settings = ConsoleSettings(
            sign_in="oidc",
            oidc_issuer=provider.address,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=CLIENT_SECRET,
            public_url=f"http://127.0.0.1:{port}",
            login_rights={"ann@example.com": ["viewer"]},
        )
        with served(replace(services, settings=settings), port) as address:
            page.goto(f"{address}/labels")
            expect(page.get_by_role("heading", level=1, name="Labels")).to_be_visible()
            page.context.clear_cookies(name="retinue-session")
            page.get_by_role("searchbox").fill("photo")
            page.get_by_role("searchbox").press("Enter")
            page.wait_for_url("**/search?q=photo")
            expect(page.get_by_role("heading", level=1)).to_contain_text("Search")


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
