"""The console as an ASGI application."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, from_thread, to_thread
from pydantic import ValidationError
from retinue_history import HistoryDataError, HistoryError, HistoryUnavailableError
from starlette.applications import Starlette
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from retinue_console import openapi
from retinue_console.access.guard import Guard
from retinue_console.access.identity import Identity, Right
from retinue_console.access.people import any_names_someone, without_people
from retinue_console.answers import Answers, as_csv, json
from retinue_console.database import NoReviewsError, SlowQueryError
from retinue_console.page import (
    Call,
    NotFoundError,
    Page,
    ParameterError,
    Route,
    Services,
    parse,
    with_suffix,
)
from retinue_console.routes import ROUTES
from retinue_console.sign_in.choice import sign_in_of
from retinue_console.sign_in.sign_in import SignIn
from retinue_console.static_files import StaticFiles

MAX_BODY_BYTES = 2**20
"""Largest body of a request."""

PICTURE_THREADS = 12
"""Maximum number of pictures that are read and made at the same time."""

_log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Problem:
    """The data of an error page.

    Attributes:
        status: The HTTP status.
        message: The problem, and how to fix it.
        is_temporary: Whether the same request can succeed later, so that the page tries again.
    """

    status: int
    message: str
    is_temporary: bool = False


def make_app(
    services: Services, *, sign_in: SignIn | None = None, routes: Sequence[Route] = ROUTES
) -> ASGIApp:
    """Build the console's application.

    Args:
        services: Objects that handlers use.
        sign_in: The sign-in; by default, from the settings.
        routes: The route table.
    """
    sign_in = sign_in or sign_in_of(services.settings)
    console = _Console(services, sign_in, routes)
    app: ASGIApp = Starlette(
        routes=console.routes(),
        exception_handlers={
            HTTPException: console.refuse,
            ParameterError: console.refuse,
            NotFoundError: console.refuse,
            HistoryError: console.refuse,
            Exception: console.refuse,
        },
        middleware=[Middleware(GZipMiddleware, minimum_size=1_000)],
    )
    app = _below(app, services.settings.base_path)
    return Guard(app, sign_in.hosts)


class _Console:
    """The endpoints, which share the route table and the services."""

    def __init__(self, services: Services, sign_in: SignIn, routes: Sequence[Route]) -> None:
        self._services = services
        self._sign_in = sign_in
        self._table = routes
        self._static = StaticFiles()
        self._answers = Answers(routes, self._static, sign_in.sign_out)
        self._document: dict[str, Any] | None = None
        self._picture_threads = CapacityLimiter(PICTURE_THREADS)

    def routes(self) -> list[StarletteRoute]:
        """Return Starlette's routes. Those with a suffix come first: a name may have a dot."""
        made = [
            StarletteRoute("/health", _health),
            StarletteRoute("/openapi.json", self._openapi),
            StarletteRoute("/static/{digest}/{name}", self._static.serve),
            *self._sign_in.routes(self._render),
        ]
        made += [
            StarletteRoute(with_suffix(route.path, suffix), self._endpoint(route, suffix))
            for route in self._table
            for suffix in route.suffixes
        ]
        made += [
            StarletteRoute(route.path, self._endpoint(route, ""), methods=[route.method])
            for route in self._table
        ]
        return made

    def _endpoint(self, route: Route, suffix: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            identity = await to_thread.run_sync(self._sign_in.identify, request)
            request.state.identity = identity
            if identity is None:
                if _is_navigation(request, suffix):
                    entrance = self._sign_in.entrance(request)
                    if entrance is not None:
                        return RedirectResponse(entrance, 303, {"Cache-Control": "no-store"})
                raise HTTPException(401, self._sign_in.advice)
            if not identity.may(route.right):
                raise HTTPException(
                    403,
                    f"This page takes the right {route.right!s}, which the login {identity.login} "
                    "lacks. The console's operator grants rights in "
                    "RETINUE_CONSOLE_LOGIN_RIGHTS and RETINUE_CONSOLE_GROUP_RIGHTS.",
                )
            given = request.query_params.multi_items()
            if not _sees_people(identity, route) and any_names_someone(given):
                raise HTTPException(403, "Only admins may look for people.")
            parameters = parse(route.parameters, request.query_params, request.path_params)
            body = None if route.body is None else await _body(request, route)
            if body and not _sees_people(identity, route) and any_names_someone(body.model_dump()):
                raise HTTPException(403, "Only admins may name people.")
            call = Call(parameters, identity, self._services, body)
            if route.is_picture:
                return await to_thread.run_sync(
                    self._picture, request, route, call, limiter=self._picture_threads
                )
            return await to_thread.run_sync(self._answer, request, route, suffix, call)

        return endpoint

    def _picture(self, request: Request, route: Route, call: Call[Any]) -> Response:
        """Answer with a picture, unless the browser left the page while it waited."""
        if from_thread.run(request.is_disconnected):
            return Response(status_code=408)
        return self._answer(request, route, "", call)

    def _answer(self, request: Request, route: Route, suffix: str, call: Call[Any]) -> Response:
        page = route.handler(call)
        if isinstance(page, Response):
            return page
        is_csv = suffix == ".csv"
        if not _sees_people(call.identity, route):  # in the response: rows, or data
            page = (
                replace(page, rows=without_people(page.rows))
                if is_csv
                else replace(page, data=without_people(page.data))
            )
        if is_csv:
            name = request.url.path.rpartition("/")[2].removesuffix(suffix)
            return as_csv(page, name)
        if suffix == ".json" or _wants_json(request):
            return json(page)
        return self._answers.html(request, page, call.identity, route)

    def _render(self, request: Request, page: Page[Any]) -> Response:
        response = self._answers.html(request, page, None, None)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer with an error, in the form that was asked for."""
        problem, headers = _problem(error)
        page = Page("error.html", _TITLES.get(problem.status, "Error"), problem, None, None)
        path: str = request.scope["path"]
        if path.endswith((".json", ".csv")) or _wants_json(request):
            response: Response = JSONResponse(
                {"status": problem.status, "message": problem.message}, problem.status
            )
        else:
            identity: Identity | None = getattr(request.state, "identity", None)
            response = self._answers.html(request, page, identity, None)
            response.status_code = problem.status
        response.headers.update(headers)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _openapi(self, request: Request) -> Response:
        del request
        if self._document is None:
            self._document = openapi.document(
                self._table, version("retinue-console"), self._services.settings.base_path
            )
        return JSONResponse(self._document)


def _sees_people(identity: Identity, route: Route) -> bool:
    """Return whether a page may name people: to admins, and on pages of the right to SQL."""
    return identity.may(Right.ADMIN) or route.right is Right.SQL


_TITLES = {
    400: "Wrong parameter",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    503: "The database is down",
    504: "The query took too long",
}


def _problem(error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the message of an error, and the response's headers."""
    match error:
        case HTTPException():
            message = error.detail
            if error.status_code == 404:
                message = "There is no page at this address."
            return Problem(error.status_code, message), dict(error.headers or {})
        case ParameterError() | HistoryDataError():
            return Problem(400, str(error)), {}
        case NotFoundError():
            return Problem(404, str(error)), {}
        case NoReviewsError():
            return Problem(503, str(error)), {}
        case SlowQueryError():
            return Problem(504, f"{_sentence(error)} Narrow the filters, or try again."), {}
        case HistoryUnavailableError():  # whose message names servers
            _log.warning("database_unavailable: %s", error)
            message = "The database doesn't answer."
            return Problem(503, message, is_temporary=True), {"Retry-After": "3"}
        case HistoryError():
            return Problem(503, _sentence(error), is_temporary=True), {"Retry-After": "3"}
    return Problem(500, "The console failed. Its log has the reason."), {}


def _sentence(error: Exception) -> str:
    text = str(error).strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


async def _body(request: Request, route: Route) -> Any:
    """Read and check a body, which is JSON or a form.

    Raises:
        HTTPException: It is too large.
        ParameterError: It is wrong.
    """
    if route.body is None:
        return None
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body has more than {MAX_BODY_BYTES:,} bytes.")
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return route.body.model_validate_json(data)
        except ValidationError as error:
            raise ParameterError(
                "; ".join(
                    f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}"
                    for one in error.errors(include_url=False, include_input=False)
                )
            ) from error
    try:
        fields = parse_qsl(data.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise ParameterError("The form isn't valid UTF-8.") from error
    return parse(route.body, ImmutableMultiDict(fields), {})


def _wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("application/json")


def _is_navigation(request: Request, suffix: str) -> bool:
    """Return whether a browser goes to a page, and so can be sent elsewhere to sign in."""
    return (
        request.method == "GET"
        and not suffix
        and not _wants_json(request)
        and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        and "hx-request" not in request.headers
    )


async def _health(request: Request) -> Response:
    """Answer 200 while the process runs; pages show whether the database is down."""
    del request
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


def _below(app: ASGIApp, base_path: str) -> ASGIApp:
    """Serve an application below a path, whether or not the proxy in front removes it."""
    if not base_path:
        return app

    async def below(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path != base_path and not path.startswith(f"{base_path}/"):
                path = base_path + path
            scope = {**scope, "path": path, "root_path": base_path}
        await app(scope, receive, send)

    return below
