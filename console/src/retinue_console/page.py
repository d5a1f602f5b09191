"""The parts of a page: its parameters, a handler, and the data that it answers with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import UnionType
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from retinue_sdk.options import DescribedModel
from starlette.datastructures import ImmutableMultiDict
from starlette.responses import RedirectResponse, Response

from retinue_console.access.identity import Identity, Right
from retinue_console.database import Database, Reviews
from retinue_console.pictures.pictures import Pictures
from retinue_console.settings import ConsoleSettings


class ParameterError(ValueError):
    """A parameter of a request is unknown or wrong; the message names it."""


class NotFoundError(LookupError):
    """The thing that a request names isn't there; the message names it."""


class Parameters(DescribedModel):
    """Base of the parameters of a page, those in its path included.

    Subclass it with typed fields, and describe each with a docstring below it. A field that may be
    given several times is a tuple. Unknown parameters are refused.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Parameters)
M = TypeVar("M", bound=BaseModel)
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that handlers work with.

    Attributes:
        database: The history.
        reviews: The store of reviews.
        pictures: Pictures of images.
        settings: The console's settings.
        budgets: The monthly budget of each detector that has one, in US dollars.
    """

    database: Database
    reviews: Reviews
    pictures: Pictures
    settings: ConsoleSettings
    budgets: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call(Generic[P]):
    """One request, as a handler is given it.

    Attributes:
        parameters: The parameters of the request, checked.
        identity: The visitor's login, groups and rights.
        services: The database and all else.
        body: The body of a POST, as an object of the route's ``body``.
    """

    parameters: P
    identity: Identity
    services: Services
    body: Any = None

    @property
    def database(self) -> Database:
        """Return the history."""
        return self.services.database

    def redirect(self, path: str) -> Response:
        """Send the browser to a path below the base path, after a form."""
        return RedirectResponse(self.services.settings.base_path + path, 303)


@dataclass(frozen=True, slots=True)
class Page(Generic[D]):
    """An answer: HTML by a template, or JSON, from the same data.

    Attributes:
        template: The template's name.
        title: The title, which is the heading too.
        data: A frozen dataclass. It is ``data`` in templates.
        rows: Rows of the ``.csv``: frozen dataclasses of one class, or tuples after ``columns``.
        columns: The names of the columns where rows are tuples.
        status: The HTTP status.
    """

    template: str
    title: str
    data: D
    rows: Sequence[Any] | None = None
    columns: Sequence[str] | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Route:
    """A line of the route table.

    Attributes:
        path: The path, such as ``/images/{image_id:uuid}``.
        handler: Takes a ``Call`` and returns a page, or a response of another kind. It runs on a
            thread.
        summary: Summary of its response, in a few words.
        right: The right that it takes; ``None`` if everyone may see it.
        parameters: The model of its parameters.
        answer: The class of the page's data; ``None`` if it doesn't answer with a page.
        has_csv: Whether it answers ``.csv`` too.
        method: GET, or POST if it changes something.
        body: The model of a POST's body, which is a form or JSON.
        menu: Its name in the navigation; ``None`` to leave it out.
        is_picture: Whether it runs on threads of its own, so that pictures never delay pages.
    """

    path: str
    handler: Callable[[Call[Any]], Page[Any] | Response]
    summary: str
    right: Right | None
    parameters: type[Parameters] = Parameters
    answer: type[Any] | None = None
    has_csv: bool = False
    method: Literal["GET", "POST"] = "GET"
    body: type[BaseModel] | None = None
    menu: str | None = None
    is_picture: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of its data."""
        if self.answer is None or self.method != "GET":
            return ()
        return (".json", ".csv") if self.has_csv else (".json",)


def with_suffix(path: str, suffix: str) -> str:
    """Return the path of a page in another form."""
    return f"/index{suffix}" if path == "/" else f"{path}{suffix}"


def parse(model: type[M], query: ImmutableMultiDict[str, str], path: Mapping[str, Any]) -> M:
    """Read a page's parameters, or a form.

    A field of a form that was left empty counts as not given.

    Args:
        model: Their type.
        query: Names and values.
        path: The parameters in the path.

    Raises:
        ParameterError: One is unknown, wrong, or given more often than it may be.
    """
    given: dict[str, Any] = {}
    for name in query:
        values = [value for value in query.getlist(name) if value]
        field = model.model_fields.get(name)
        if field is not None and _is_tuple(field.annotation):
            given[name] = values
        elif len(values) > 1:
            raise ParameterError(f"The parameter {name} was given {len(values)} times.")
        elif values or field is None:
            given[name] = query[name]
    try:
        return model.model_validate(given | dict(path))
    except ValidationError as error:
        raise ParameterError(_explain(error, model)) from error


def _is_tuple(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_tuple(one) for one in get_args(annotation))
    return get_origin(annotation) is tuple


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    sentences = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "no parameters"
            sentences.append(f"The parameter {name} is unknown. This page takes {known}.")
        elif name:
            sentences.append(f"The parameter {name} is wrong: {message}.")
        else:
            sentences.append(f"{message}.")
    return " ".join(sentences)
