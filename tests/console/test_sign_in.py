"""Signing in: at a proxy, at a load balancer, and at an OpenID provider that is a real server."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import jwt
import pytest
from console.conftest import Client
from console.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEYS,
    SECRET,
    IdentityProvider,
    part,
    pem,
    running,
)
from hypothesis import given
from hypothesis import strategies as st
from retinue_console.access.identity import Grants, Right, is_name, with_implied
from retinue_console.app import make_app
from retinue_console.page import Call, Page, Parameters, Route, Services
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.choice import sign_in_of
from retinue_console.sign_in.load_balancer import LoadBalancerSignIn
from retinue_console.sign_in.oidc import OidcSignIn, local_address
from retinue_console.sign_in.sign_in import NoSignIn
from retinue_sdk import ConfigurationError
from starlette.testclient import TestClient

SITE = "https://retinue.example"

RIGHTS = {
    "login_rights": {"ann@example.com": ["sql"], "17": ["admin"]},
    "group_rights": {"labelling": ["reviewer"], "staff": ["viewer"]},
}


class Who(Parameters):
    q: str = ""
    """Anything."""


def who(call: Call[Who]) -> Page[dict[str, Any]]:
    """Answer with who asks."""
    identity = call.identity
    data = {"login": identity.login, "name": identity.name, "rights": sorted(identity.rights)}
    return Page("signed_out.html", "Who", data | {"provider_address": None})


def post(call: Call[Parameters]) -> Page[dict[str, Any]]:
    """Do nothing."""
    return who(call)


ROUTES = (
    Route("/", who, "Who", Right.VIEWER, parameters=Who, answer=dict),
    Route(
        "/who/{n}",
        who,
        "Who",
        Right.VIEWER,
        parameters=type("N", (Who,), {"__annotations__": {"n": str}}),
        answer=dict,
    ),
    Route("/post", post, "Post", Right.REVIEWER, method="POST", answer=dict),
)


def ask(client: Client, **headers: str) -> Any:
    said = client.get("/index.json", headers=headers)
    return said.json() if said.status_code == 200 else said.status_code


# Settings


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"HOST": "0.0.0.0"}, "RETINUE_CONSOLE_SIGN_IN"),
        ({"SIGN_IN": "password"}, "'none', 'header', 'alb' or 'oidc'"),
        ({"SIGN_IN": "header"}, "TRUSTED_PROXIES, RETINUE_CONSOLE_PROXY_SECRET"),
        ({"SIGN_IN": "alb"}, "LOAD_BALANCER_ARN, RETINUE_CONSOLE_OIDC_ISSUER"),
        ({"SIGN_IN": "oidc"}, "OIDC_CLIENT_SECRET, RETINUE_CONSOLE_PUBLIC_URL"),
        ({"OIDC_ISSUER": "http://id.example"}, "must begin with https://"),
        ({"PUBLIC_URL": "http://retinue.example"}, "must begin with https://"),
        ({"PUBLIC_URL": "https://retinue.example/a"}, "PUBLIC_URL"),
        ({"PROXY_SECRET": "short"}, "at least 16"),
        ({"TRUSTED_PROXIES": "10.0.0.1,here"}, "TRUSTED_PROXIES"),
        ({"LOGIN_RIGHTS": "ann"}, 'must be JSON such as {"NAME": ["viewer"]}'),
        ({"LOGIN_RIGHTS": '{"ann": ["owner"]}'}, "'viewer', 'reviewer', 'admin' or 'sql'"),
        (
            {"SIGN_IN": "header", "TRUSTED_PROXIES": "10.0.0.1", "PROXY_SECRET": "x" * 16},
            "no login has a right",
        ),
    ],
)
def test_settings_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], names: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"RETINUE_CONSOLE_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        ConsoleSettings.load()
    assert names in str(caught.value)


def test_settings_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGN_IN": "header",
        "HOST": "0.0.0.0",
        "TRUSTED_PROXIES": "10.0.0.1, 10.1.0.0/16,fd00::/8",
        "PROXY_SECRET": "x" * 16,
        "LOGIN_RIGHTS": '{"ann": ["admin", "sql"]}',
    }.items():
        monkeypatch.setenv(f"RETINUE_CONSOLE_{name}", value)
    settings = ConsoleSettings.load()
    assert [str(one) for one in settings.trusted_proxies] == [
        "10.0.0.1/32",
        "10.1.0.0/16",
        "fd00::/8",
    ]
    assert settings.login_rights == {"ann": {Right.ADMIN, Right.SQL}}
    assert "x" * 16 not in repr(settings)
    assert isinstance(sign_in_of(ConsoleSettings()), NoSignIn)


def test_a_login_is_no_group() -> None:
    grants = Grants({"ann": frozenset({Right.VIEWER})}, {"admins": frozenset({Right.ADMIN})})
    assert grants.identity("admins", None, []).rights == frozenset()
    assert grants.identity("bob", None, ["ann"]).rights == frozenset()
    assert grants.identity("ann", None, ["admins"]).rights == with_implied([Right.ADMIN])


# Proxy

PROXY_SECRET = "s" * 20
PROXY = "10.0.0.7"
FROM_PROXY = {"X-Retinue-Proxy-Secret": PROXY_SECRET, "X-Forwarded-Email": "ann@example.com"}


@pytest.fixture
def behind_proxy(services: Services) -> Callable[[str], Client]:
    settings = ConsoleSettings(
        sign_in="header",
        trusted_proxies="10.0.0.0/30,10.0.0.7",
        proxy_secret=PROXY_SECRET,
        **RIGHTS,
    )
    app = make_app(replace(services, settings=settings), routes=ROUTES)
    return lambda peer: TestClient(app, base_url="http://anything.example", client=(peer, 1))


@pytest.mark.parametrize(
    ("peer", "headers", "rights"),
    [
        (PROXY, FROM_PROXY | {"X-Forwarded-Groups": "x, staff"}, ["sql", "viewer"]),
        (f"::ffff:{PROXY}", FROM_PROXY | {"X-Forwarded-Groups": "staff"}, ["sql", "viewer"]),
        (PROXY, FROM_PROXY, 403),
        (PROXY, {}, 401),
        (PROXY, FROM_PROXY | {"X-Retinue-Proxy-Secret": "t" * 20}, 401),
        (PROXY, FROM_PROXY | {"X-Retinue-Proxy-Secret": ""}, 401),
        (PROXY, {"X-Retinue-Proxy-Secret": PROXY_SECRET}, 401),
        (PROXY, FROM_PROXY | {"X-Forwarded-Email": ""}, 401),
        (PROXY, FROM_PROXY | {"X-Forwarded-Email": "a\tb"}, 401),
        ("10.0.0.8", FROM_PROXY, 401),
        ("testclient", FROM_PROXY, 401),
        ("10.0.0.8", FROM_PROXY | {"X-Forwarded-For": PROXY, "Forwarded": f"for={PROXY}"}, 401),
    ],
)
def test_a_proxy_names_people(
    behind_proxy: Callable[[str], Client], peer: str, headers: dict[str, str], rights: Any
) -> None:
    said = ask(behind_proxy(peer), **headers)
    assert (said if isinstance(said, int) else said["rights"]) == rights


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Email", "X-Retinue-Proxy-Secret", "X-Forwarded-Groups"]
)
def test_a_header_given_twice_is_refused(behind_proxy: Callable[[str], Client], name: str) -> None:
    headers = FROM_PROXY | {"X-Forwarded-Groups": "staff"}
    twice = [*headers.items(), (name, headers[name])]
    assert behind_proxy(PROXY).get("/", headers=twice).status_code == 401


# Load balancer

ARN = (
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/retinue/0123456789abcdef"
)
KID = "01234567-89ab-cdef-0123-456789abcdef"


class LoadBalancer:
    """It signs what it is given, padded as AWS pads it."""

    def __init__(self, issuer: str) -> None:
        self.header: dict[str, Any] = {
            "typ": "JWT",
            "alg": "ES256",
            "kid": KID,
            "signer": ARN,
            "iss": issuer,
            "client": CLIENT_ID,
            "exp": int(time.time()) + 120,
        }
        self.claims: dict[str, Any] = {
            "sub": "17",
            "email": "ann@example.com",
            "email_verified": "true",
            "groups": "labelling,unknown",
            "exp": int(time.time()) + 120,
            "iss": issuer,
        }
        self.key = KEYS["ec"]

    def token(self) -> str:
        signed = f"{part(self.header, padded=True)}.{part(self.claims, padded=True)}"
        algorithm = jwt.get_algorithm_by_name("ES256")
        return f"{signed}.{part(algorithm.sign(signed.encode(), self.key), padded=True)}"


@pytest.fixture
def load_balancer(provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> LoadBalancer:
    monkeypatch.setitem(KEYS, KID, KEYS["ec"])
    return LoadBalancer(provider.address)


@pytest.fixture
def behind_load_balancer(services: Services, provider: IdentityProvider) -> Client:
    settings = ConsoleSettings(
        sign_in="alb",
        load_balancer_arn=ARN,
        oidc_issuer=provider.address,
        oidc_client_id=CLIENT_ID,
        **RIGHTS,
    )
    grants = Grants(settings.login_rights, settings.group_rights)
    sign_in = LoadBalancerSignIn(settings, grants, keys_address=f"{provider.address}/keys")
    app = make_app(replace(services, settings=settings), sign_in=sign_in, routes=ROUTES)
    return TestClient(app, base_url=SITE)


def test_a_load_balancer_signs_people_in(
    behind_load_balancer: Client, load_balancer: LoadBalancer, provider: IdentityProvider
) -> None:
    for _ in range(2):
        said = ask(behind_load_balancer, **{"x-amzn-oidc-data": load_balancer.token()})
        assert said["login"] == "ann@example.com"
        assert said["rights"] == ["reviewer", "sql", "viewer"]
    assert provider.asked == [f"GET /keys/{KID}"]
    assert behind_load_balancer.get("/").status_code == 401
    twice = [("x-amzn-oidc-data", load_balancer.token())] * 2
    assert behind_load_balancer.get("/", headers=twice).status_code == 401


@pytest.mark.parametrize(
    ("header", "asks"),
    [
        ({"signer": ARN.replace("retinue", "another")}, False),
        ({"client": "another"}, False),
        ({"iss": "https://another"}, False),
        ({"exp": int(time.time()) - 61}, False),
        ({"exp": None}, False),
        ({"kid": "../../jwks"}, False),
        ({"kid": KID.replace("0", "1")}, True),
        ({"alg": "none"}, True),
        ({"alg": "HS256"}, True),
    ],
)
def test_tokens_of_a_load_balancer_that_are_refused(
    behind_load_balancer: Client,
    load_balancer: LoadBalancer,
    provider: IdentityProvider,
    header: dict[str, Any],
    asks: bool,
) -> None:
    load_balancer.header |= header
    assert ask(behind_load_balancer, **{"x-amzn-oidc-data": load_balancer.token()}) == 401
    assert bool(provider.asked) == asks


def test_signatures_of_others_are_refused(
    behind_load_balancer: Client, load_balancer: LoadBalancer
) -> None:
    token = load_balancer.token()
    load_balancer.claims["email"] = "eve@example.com"
    head, _, signature = token.split(".")
    claims = load_balancer.token().split(".")[1]
    for wrong in (
        f"{head}.{claims}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{part(b'[' * 40_000)}.a.b",
        "a.b.c",
        "",
    ):
        assert ask(behind_load_balancer, **{"x-amzn-oidc-data": wrong}) == 401


def test_an_address_that_was_not_verified_is_no_login(
    behind_load_balancer: Client, load_balancer: LoadBalancer
) -> None:
    load_balancer.claims["email_verified"] = "false"
    headers = {"x-amzn-oidc-data": load_balancer.token()}
    said = behind_load_balancer.get("/", headers=headers)
    assert said.status_code == 403
    assert "RETINUE_CONSOLE_LOGIN_CLAIM" in said.text


# OpenID


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with running() as provider:
        yield provider


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return time.time() + self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(provider: IdentityProvider) -> ConsoleSettings:
    return ConsoleSettings(
        sign_in="oidc",
        oidc_issuer=provider.address,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        public_url=SITE,
        session_minutes=60,
        **RIGHTS,
    )


def make_browser(
    services: Services, settings: ConsoleSettings, clock: Clock | None = None
) -> Client:
    grants = Grants(settings.login_rights, settings.group_rights)
    sign_in = OidcSignIn(settings, grants, clock=clock or Clock())
    app = make_app(replace(services, settings=settings), sign_in=sign_in, routes=ROUTES)
    return TestClient(app, base_url=str(settings.public_url), follow_redirects=False)


@pytest.fixture
def browser(services: Services, settings: ConsoleSettings, clock: Clock) -> Client:
    return make_browser(services, settings, clock)


def at_provider(started: Any) -> Any:
    """The provider's answer, to which the page that begins to sign in leads."""
    address = started.headers["refresh"].removeprefix("0; url=")
    return httpx2.get(address, follow_redirects=False)


def go_to_provider(browser: Client, path: str = "/who/1?q=2&q2=") -> str:
    """Open a page and follow the redirects; return the address that the provider sends back to."""
    said = browser.get(path)
    assert said.status_code == 303
    said = browser.get(said.headers["location"])
    assert said.status_code == 200
    assert said.headers["cache-control"] == "no-store"
    said = at_provider(said)
    assert said.status_code == 302
    return said.headers["location"]


def sign_in(browser: Client, path: str = "/who/1?q=2&q2=") -> Any:
    return browser.get(go_to_provider(browser, path))


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_signing_in_and_out(browser: Client, provider: IdentityProvider, method: str) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": [method]}
    said = sign_in(browser)
    assert (said.status_code, said.headers["location"]) == (303, "/who/1?q=2&q2=")
    (session,) = [one for one in said.headers.get_list("set-cookie") if "-session=" in one]
    assert session.startswith("__Host-retinue-session=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax", "Max-Age=3600"} <= set(
        session.split("; ")
    )
    assert "ann@example" not in session  # "@" is in no base64, so never there by chance
    page = browser.get("/")
    assert "Ann &lt;b&gt;" in page.text
    assert 'action="/sign-out"' in page.text
    assert ask(browser) == {
        "login": "ann@example.com",
        "name": "Ann <b>",
        "rights": ["reviewer", "sql", "viewer"],
        "provider_address": None,
    }
    said = browser.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    assert said.status_code == 403
    said = browser.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    assert (said.status_code, said.headers["location"]) == (303, "/signed-out")
    assert f'href="{provider.address}/logout?' in browser.get("/signed-out").text
    assert ask(browser) == 401


def test_only_pages_lead_to_the_sign_in(browser: Client) -> None:
    assert browser.get("/").status_code == 303
    assert browser.get("/index.json").status_code == 401
    assert browser.post("/post").status_code == 401
    for headers in (
        {"HX-Request": "true"},
        {"Sec-Fetch-Mode": "cors"},
        {"Accept": "application/json"},
    ):
        assert browser.get("/", headers=headers).status_code == 401
    for path in ("/health", "/openapi.json", "/signed-out"):
        assert browser.get(path).status_code == 200


def rights_after(browser: Client) -> Any:
    """Sign in, and return the rights, or the status and message of the refusal."""
    said = sign_in(browser)
    if said.status_code == 303:
        return ask(browser)["rights"]
    assert not any("-session=" in one for one in said.headers.get_list("set-cookie"))
    assert ask(browser) == 401
    return said.status_code, said.text


def signed(key: str, **header: Any) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    def forge(honest: dict[str, Any], claims: dict[str, Any]) -> str:
        algorithm = "ES256" if key == "ec" else "RS256"
        text = f"{part(honest | header)}.{part(claims)}"
        signer = jwt.get_algorithm_by_name(algorithm)
        return f"{text}.{part(signer.sign(text.encode(), KEYS[key]))}"

    return forge


def hmac_of(secret: bytes, **header: Any) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Sign with what is public, as if it were a secret."""

    def forge(honest: dict[str, Any], claims: dict[str, Any]) -> str:
        text = f"{part(honest | header)}.{part(claims)}"
        return f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    return forge


@pytest.mark.parametrize(
    "forge",
    [
        signed("other"),
        signed("rsa", alg="RS512"),
        signed("rsa", alg="ES256"),
        signed("ec", alg="ES256"),
        signed("rsa", kid="unknown"),
        signed("rsa", crit=["exp"]),
        lambda header, claims: f"{part(header | {'alg': 'none'})}.{part(claims)}.",
        hmac_of(pem(KEYS["rsa"]), alg="HS256"),
        hmac_of(SECRET, alg="HS256", kid="oct"),
        hmac_of(SECRET, alg="RS256", kid="oct"),
        lambda *_: "a.b.c",
    ],
)
def test_forged_tokens(
    browser: Client,
    provider: IdentityProvider,
    forge: Callable[[dict[str, Any], dict[str, Any]], str],
) -> None:
    provider.forge = forge
    status, text = rights_after(browser)
    assert status == 403
    assert "Open the console again" in text


@pytest.mark.parametrize(
    "person",
    [
        {"iss": "https://another.example"},
        {"aud": "another"},
        {"aud": ["another", CLIENT_ID]},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": 1},
        {"exp": int(time.time()) - 61},
        {"exp": None},
        {"sub": None},
        {"email": None},
        {"email": "a\u202eb@example.com"},
        {"email_verified": False},
        {"email_verified": None},
    ],
)
def test_claims_that_are_refused(
    browser: Client, provider: IdentityProvider, person: dict[str, Any]
) -> None:
    provider.person |= person
    assert rights_after(browser)[0] == 403


def test_a_token_from_the_future_is_refused(browser: Client, provider: IdentityProvider) -> None:
    provider.person |= {"iat": int(time.time()) + 300}
    assert rights_after(browser)[0] == 403


def test_clocks_may_differ_a_little(browser: Client, provider: IdentityProvider) -> None:
    now = int(time.time())
    provider.person |= {"iat": now + 30, "exp": now - 30}
    assert "viewer" in rights_after(browser)


def test_the_login_may_be_another_claim(
    services: Services, settings: ConsoleSettings, provider: IdentityProvider
) -> None:
    provider.person |= {"email": None, "groups": None, "name": 1}
    changed = settings.model_copy(update={"login_claim": "sub"})
    browser = make_browser(services, changed)
    assert rights_after(browser) == ["admin", "reviewer", "viewer"]
    assert ask(browser)["name"] == "17"


def test_the_provider_may_change_its_keys(
    browser: Client, provider: IdentityProvider, clock: Clock
) -> None:
    assert "viewer" in rights_after(browser)
    provider.keys, provider.kid = ["rsa", "ec"], "ec"
    browser.cookies.clear()
    assert "viewer" in rights_after(browser)
    provider.keys, provider.kid = ["ec"], "rsa"  # a key that was taken back
    browser.cookies.clear()
    clock.now = 3_601
    assert rights_after(browser)[0] == 403


def test_an_answer_counts_once_and_in_its_browser_only(
    services: Services, settings: ConsoleSettings, browser: Client, clock: Clock
) -> None:
    address = go_to_provider(browser)
    other = make_browser(services, settings)
    assert other.get(address).status_code == 400
    go_to_provider(other)  # somebody else's sign-in, to be continued with this answer
    assert other.get(address).status_code == 400
    assert browser.get(address).status_code == 303
    browser.cookies.delete("__Host-retinue-session")
    assert browser.get(address).status_code == 400
    address = go_to_provider(browser)
    clock.now = 601
    assert browser.get(address).status_code == 400


def test_tabs_that_are_opened_together_all_sign_in(browser: Client) -> None:
    addresses = {path: go_to_provider(browser, path) for path in ("/who/1", "/who/2", "/who/3")}
    for path, address in addresses.items():
        said = browser.get(address)
        assert (said.status_code, said.headers["location"]) == (303, path)
        assert browser.get(address).status_code == 400
    assert [*browser.cookies] == ["__Host-retinue-session"]


def test_sign_ins_that_are_begun_again_and_again_leave_few_cookies(browser: Client) -> None:
    for _ in range(30):
        last = go_to_provider(browser)
        assert len(browser.cookies) <= 8
    assert browser.get(last).status_code == 303


def test_a_code_counts_once(browser: Client) -> None:
    code = urlsplit(go_to_provider(browser)).query.partition("&")[0]
    first = go_to_provider(browser)
    address = first.replace(urlsplit(first).query.partition("&")[0], code)
    said = browser.get(address)  # an injected code: its PKCE challenge is another
    assert said.status_code == 403
    assert "invalid_grant" in said.text


def test_what_the_provider_refuses_is_said(browser: Client, provider: IdentityProvider) -> None:
    provider.refusal = {"error": "access_denied", "error_description": "<b>No & no"}
    status, text = rights_after(browser)
    assert status == 403
    assert "&lt;b&gt;No &amp; no" in text
    provider.refusal = {"code": "a", "iss": "https://another.example"}
    assert rights_after(browser)[0] == 403


def test_sessions_end(
    services: Services, settings: ConsoleSettings, browser: Client, clock: Clock
) -> None:
    sign_in(browser)
    clock.now = 3_590
    assert ask(browser)["login"] == "ann@example.com"
    clock.now = 3_610
    assert ask(browser) == 401


def test_a_session_that_was_ended_is_not_resumed(browser: Client) -> None:
    cookies = []
    for _ in range(2):  # two sessions of the same person
        sign_in(browser)
        session = browser.cookies["__Host-retinue-session"]
        cookies.append({"Cookie": f"__Host-retinue-session={session}"})
        browser.cookies.clear()
    assert ask(browser, **cookies[0])["login"] == "ann@example.com"
    assert browser.post("/sign-out", headers=cookies[0]).status_code == 303
    assert ask(browser, **cookies[0]) == 401
    assert ask(browser, **cookies[1])["login"] == "ann@example.com"


def test_rights_are_those_of_the_settings_now(
    services: Services, settings: ConsoleSettings
) -> None:
    browser = make_browser(services, settings)
    sign_in(browser)
    changed = settings.model_copy(update={"login_rights": {}, "group_rights": {}})
    later = make_browser(services, changed)
    later.cookies = browser.cookies
    assert ask(later) == 403
    assert "ann@example.com" in later.get("/").text
    for another in (
        {"oidc_client_secret": "another secret!!"},
        {"oidc_client_id": "another client"},
        {"oidc_issuer": "https://another.example"},
    ):
        later = make_browser(services, settings.model_validate(settings.model_dump() | another))
        later.cookies = browser.cookies
        assert ask(later) == 401


def test_cookies_that_were_changed(browser: Client) -> None:
    go_to_provider(browser)
    [pending] = browser.cookies.values()
    sign_in(browser)
    session = browser.cookies["__Host-retinue-session"]
    flipped = session[:40] + ("A" if session[40] != "A" else "B") + session[41:]
    browser.cookies.clear()
    for wrong in (pending, flipped, session[:-4], "", "x", "é"):
        headers = {"Cookie": f"__Host-retinue-session={wrong}".encode()}
        assert browser.get("/index.json", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://another.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
def test_a_provider_that_is_wrong_about_itself(
    browser: Client, provider: IdentityProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    said = browser.get("/sign-in")
    assert said.status_code == 503
    provider.metadata = {}
    assert browser.get("/sign-in").status_code == 200


def test_a_provider_that_is_away(services: Services, settings: ConsoleSettings) -> None:
    away = settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    said = make_browser(services, away).get("/sign-in")
    assert said.status_code == 503
    assert "identity provider" in said.text


def test_below_a_path(services: Services, settings: ConsoleSettings) -> None:
    browser = make_browser(services, settings.model_copy(update={"base_path": "/a/b"}))
    said = sign_in(browser, "/a/b/who/1")
    assert said.headers["location"] == "/a/b/who/1"
    assert "__Secure-retinue-session=" in said.headers["set-cookie"]
    assert "Path=/a/b;" in said.headers["set-cookie"]
    assert browser.get("/a/b/index.json").json()["login"] == "ann@example.com"


def test_on_this_machine_without_tls(services: Services, settings: ConsoleSettings) -> None:
    local = settings.model_copy(update={"public_url": "http://127.0.0.1:8600"})
    browser = make_browser(services, local)
    said = sign_in(browser)
    assert "Secure" not in said.headers["set-cookie"]
    assert ask(browser)["login"] == "ann@example.com"


def test_an_address_that_is_too_long_to_return_to_is_not_left(browser: Client) -> None:
    said = browser.get("/who/1", params={"q": "x" * 1_000})
    assert said.status_code == 401
    assert "Then try again." in said.text


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "\\\\evil",
        "/ /x",
        "http:evil",
        "",
    ],
)
def test_only_the_console_is_gone_back_to(browser: Client, address: str) -> None:
    started = browser.get("/sign-in", params={"next": address})
    said = browser.get(at_provider(started).headers["location"])
    assert (said.status_code, said.headers["location"]) == (303, "/")


@given(st.text(st.sampled_from("/\\.:@?#ab%\t\n 2fé")), st.sampled_from(["", "/a"]))
def test_addresses_to_go_back_to(address: str, base_path: str) -> None:
    gone = local_address(address, base_path)
    # As browsers read it: a backslash is a slash, and tabs and line ends are dropped.
    read = gone.replace("\\", "/").replace("\t", "").replace("\n", "")
    assert urljoin(f"{SITE}/sign-in/callback", read).startswith(f"{SITE}{base_path}/")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("ann", True),
        ("Ann Ö'Neil", True),
        ("", False),
        (" ann", False),
        ("a\nb", False),
        ("x" * 256, False),
        (None, False),
    ],
)
def test_names(text: Any, is_one: bool) -> None:
    assert is_name(text) == is_one
