"""Describe a detector: source, options, capabilities."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from retinue_sdk import ConfigurationError, Operational
from retinue_sdk.errors import format_error, format_plugin_frames
from retinue_sdk.plugins.manager import Plugins, Registration


def describe(registration: Registration) -> dict[str, Any]:
    """Return a detector as JSON: name, source, and a JSON schema for each option.

    Raises:
        ConfigurationError: The plugin's options can't be described.
    """
    detector = registration.detector
    doc = (detector.__doc__ or "").strip()
    model = detector.options_model
    try:
        schema = model.model_json_schema()
    except BaseException as error:  # the plugin's code; a panic of native code isn't an Exception
        raise ConfigurationError(
            f"detector {detector.name} of {registration.distribution} "
            f"{registration.distribution_version}: its options cannot be described: "
            f"{format_error(error)}{format_plugin_frames(error)}"
        ) from error
    options = schema.get("properties", {})
    definitions = schema.get("$defs", {})
    for name, field in model.model_fields.items():
        option = options.get(name, {})
        option["operational"] = any(isinstance(mark, Operational) for mark in field.metadata)
        for form in (option, *option.get("anyOf", ())):
            # The option's own description, not that of its type.
            form |= definitions.get(form.get("$ref", "").rpartition("/")[2], {}) | form
    return {
        "name": detector.name,
        "version": detector.version,
        "summary": plain(doc.partition("\n\n")[0]),
        "plugin": registration.plugin,
        "distribution": registration.distribution,
        "distribution_version": registration.distribution_version,
        "options": options,
    }


def capabilities(plugins: Plugins, name: str, options: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return the detector's capabilities with these options, or why they can't be read."""
    try:
        [detector] = plugins.make({name: options})
        declared = detector.capabilities
        fields = {field: getattr(declared, field) for field in type(declared).__dataclass_fields__}
    except ConfigurationError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - the property is the plugin's own
        return f"{format_error(error)}{format_plugin_frames(error)}"
    return {field: _jsonable(value) for field, value in fields.items()}


def option_lines(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield each option with its type, range, default and meaning, for a terminal."""
    for name, schema in options.items():
        default = json.dumps(schema["default"]) if "default" in schema else "required"
        facts = [kind(schema), *bounds(schema)]
        if schema.get("operational"):
            facts.append("operational")
        yield f"  {name} = {default}  ({', '.join(facts)})"
        if schema.get("description"):
            yield f"      {plain(schema['description'])}"


def kind(schema: Mapping[str, Any]) -> str:
    """Return the type of an option in words."""
    forms = schema.get("anyOf") or [schema]
    return " or ".join(dict.fromkeys(_kind(form) for form in forms))


def bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the range of an option in words."""
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "multipleOf": "a multiple of {}",
        "minLength": "{} characters or more",
        "maxLength": "at most {} characters",
        "minItems": "{} or more",
        "maxItems": "at most {}",
        "pattern": "matching {}",
    }
    exact = {"minLength": ("maxLength", "{} characters"), "minItems": ("maxItems", "exactly {}")}
    for form in (schema, *schema.get("anyOf", ())):
        found = {key: (form[key], text) for key, text in words.items() if key in form}
        for least, (most, text) in exact.items():
            if least in found and most in found and form[least] == form[most]:
                found[least] = form[least], text
                del found[most]
        for value, text in found.values():
            yield text.format(f"{value:,}" if isinstance(value, int | float) else value)
        yield from (f"each {bound}" for bound in dict.fromkeys(_bounds_of_items(form)))


def plain(text: str) -> str:
    """Return a docstring as one line for a terminal, without reStructuredText."""
    return " ".join(text.split()).replace("``", "")


def _kind(form: Mapping[str, Any]) -> str:
    if "enum" in form:
        return "one of " + ", ".join(json.dumps(value) for value in form["enum"])
    if "const" in form:
        return json.dumps(form["const"])
    if form.get("writeOnly"):
        return "secret text"
    if form.get("type") == "array":
        kinds = dict.fromkeys(_kind(item) for item in _items(form))
        return f"list of {' or '.join(kinds)}" if kinds else "list"
    names = {
        "string": {"path": "path"}.get(form.get("format", ""), "text"),
        "integer": "integer",
        "number": "number",
        "boolean": "true or false",
        "object": "object",
        "null": "null",
    }
    return names.get(form.get("type", ""), "any")


def _bounds_of_items(form: Mapping[str, Any]) -> Iterator[str]:
    for item in _items(form):
        if item.get("type") != "array":  # "each each at least 0" says little
            yield from bounds(item)


def _items(form: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas of an array's items: one for all, or one each."""
    items = form.get("prefixItems") or [form.get("items")]
    return [item for item in items if item]


def _jsonable(value: Any) -> Any:
    """Return numbers and texts unchanged, and other values as text."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)
