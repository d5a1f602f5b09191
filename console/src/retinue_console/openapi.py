"""The OpenAPI document of the route table."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from retinue_console.page import Route, with_suffix

_PATH_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

_ERRORS = {
    "400": "A parameter is unknown or wrong.",
    "403": "The identity lacks the right.",
    "404": "There is no such thing.",
    "503": "The database is down.",
}


def document(routes: Sequence[Route], version: str, base_path: str) -> dict[str, Any]:
    """Describe all routes that answer with data.

    Args:
        routes: The route table.
        version: The console's version.
        base_path: The path under which it is served.
    """
    models: dict[Any, Literal["validation", "serialization"]] = {}
    for route in routes:
        models[route.parameters] = "validation"
        if route.answer is not None:
            models[route.answer] = "serialization"
        if route.body is not None:
            models[route.body] = "validation"
    references, shared = TypeAdapter.json_schemas(
        [(model, mode, TypeAdapter(model)) for model, mode in models.items()],
        ref_template="#/components/schemas/{model}",
        schema_generator=GenerateJsonSchema,
    )
    schemas = dict(shared.get("$defs", {}))

    def schema(model: type[Any]) -> dict[str, Any]:
        return references[model, models[model]]

    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        for suffix, content in _contents(route, schema):
            operation: dict[str, Any] = {
                "summary": route.summary,
                "parameters": list(
                    _parameters(route, _resolved(schema(route.parameters), schemas))
                ),
                "responses": {
                    "200": {"description": route.summary, "content": content},
                    **{status: {"description": text} for status, text in _ERRORS.items()},
                },
                "x-right": None if route.right is None else route.right.value,
            }
            if route.body is not None:
                operation["requestBody"] = {
                    "required": True,
                    "content": {"application/json": {"schema": schema(route.body)}},
                }
            paths.setdefault(with_suffix(path, suffix) if suffix else path, {})[
                route.method.lower()
            ] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Retinue console", "version": version},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _contents(route: Route, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the types of a route's answers, by the suffix of its path."""
    if route.answer is None:
        yield "", {"*/*": {}}
    elif route.method == "POST":
        yield "", {"application/json": {"schema": schema(route.answer)}}
    for suffix in route.suffixes:
        yield (
            suffix,
            {"text/csv": {}}
            if suffix == ".csv"
            else {"application/json": {"schema": schema(route.answer)}},
        )


def _parameters(route: Route, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    in_path = set(_PATH_PARAMETER.findall(route.path))
    required = set(schema.get("required", ()))
    for name, described in schema.get("properties", {}).items():
        described = dict(described)
        yield {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in in_path or name in required,
            "description": described.pop("description", ""),
            "schema": described,
        }


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = schemas[reference.rpartition("/")[2]]
    return found
