"""Checks of a detector's options and their descriptions."""

import math
import re
from collections.abc import Iterator
from typing import Any

from pydantic import SecretBytes, SecretStr, ValidationError

from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Checks, NotApplicableError

CHECKS = Checks()

_UNKNOWN = "no_detector_has_such_an_option"
_SECRET_NAME = re.compile(r"(^|_)(secret|password|passwd|token|api_?key|private_key|credentials?)$")


@CHECKS.add(
    "options-described",
    "Has a docstring for the class and for each option",
    remedy="write a docstring below the class and below each option; `retinue plugins` shows them",
)
def described(bench: Bench) -> None:
    """Check that all texts for users exist."""
    if not (vars(bench.subject.detector).get("__doc__") or "").strip():
        raise CheckFailedError(f"{bench.subject.detector.__name__} has no docstring")
    silent = [name for name, schema in _options(bench) if not schema.get("description")]
    if silent:
        raise CheckFailedError(f"no description: {', '.join(silent)}")


@CHECKS.add(
    "options-round-trip",
    "Reads options written as JSON back unchanged",
    remedy="don't let validators change valid values, use types that JSON supports, and write "
    "defaults in their type: 0.0, not 0, for a float",
)
def round_trip(bench: Bench) -> None:
    """Dump, validate and compare options.

    Carry over secrets, because JSON has asterisks for them.
    """
    options = bench.options()
    again = options.model_dump(mode="json")
    for name in type(options).model_fields:
        if isinstance(getattr(options, name), SecretStr | SecretBytes):
            again[name] = getattr(options, name)
    second = type(options).model_validate(again)
    if second != options:
        raise CheckFailedError(f"{options!r} came back as {second!r}")
    if second.fingerprint() != options.fingerprint():
        read = [
            f"{name} = {first!r} comes back as {then!r}"
            for name in type(options).model_fields
            if repr(first := getattr(options, name)) != repr(then := getattr(second, name))
        ]
        raise CheckFailedError(
            f"the same options, read again, have another fingerprint: {', '.join(read)}"
        )


@CHECKS.add(
    "options-unknown-refused",
    "Refuses an unknown option",
    remedy='derive the options from DetectorOptions and keep its `extra="forbid"`',
)
def unknown_refused(bench: Bench) -> None:
    """Set an option that doesn't exist. A misspelled name must not pass."""
    _expect_refusal(bench, _UNKNOWN, 1)


@CHECKS.add(
    "options-range-refused",
    "Declares a range for each number, and refuses values outside it",
    remedy="declare the range, `Annotated[float, Field(ge=0, le=1)]`, and don't let validators "
    "correct the user's value",
)
def range_refused(bench: Bench) -> None:
    """Set values beyond each bound in the schema, and a word instead of a number."""
    tried = False
    for name, schema in _options(bench):
        for value in _beyond(schema):
            tried = True
            _expect_refusal(bench, name, value)
        if _numeric(schema):
            tried = True
            if not any(list(_beyond(form)) for form in (schema, *schema.get("anyOf", ()))):
                raise CheckFailedError(f"option {name} is a number without any bound")
            _expect_refusal(bench, name, "a word")
    if not tried:
        raise NotApplicableError("no option is a number")


@CHECKS.add(
    "fingerprint-stable",
    "Returns the same fingerprint for the same options",
    remedy="compute model_fingerprint() from the model's content (a hash of the weights), never "
    "from a time, an address or a random number",
)
def fingerprint_stable(bench: Bench) -> None:
    """Compare fingerprints of equal options. If they differ, each start makes every image new."""
    fingerprints = {bench.fingerprint(bench.make()) for _ in range(3)}
    if len(fingerprints) > 1:
        raise CheckFailedError(f"three detectors had {len(fingerprints)} fingerprints")


def secret_names(bench: Bench) -> list[str]:
    """Return options whose names suggest secrets but whose types are plain text."""
    return [
        name
        for name, schema in _options(bench)
        if _SECRET_NAME.search(name)
        for form in [[schema, *schema.get("anyOf", ())]]
        if any(part.get("type") == "string" for part in form)
        and not any(part.get("writeOnly") for part in form)
    ]


def _options(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = bench.subject.detector.options_model.model_json_schema()
    yield from schema.get("properties", {}).items()


def _numeric(schema: dict[str, Any]) -> bool:
    forms = (schema, *schema.get("anyOf", ()))
    kinds = {form.get("type") for form in forms}
    # A Decimal or a literal may be a text, too, so a word proves nothing.
    return bool(kinds & {"integer", "number"}) and "string" not in kinds and "enum" not in schema


def _beyond(schema: dict[str, Any]) -> Iterator[float]:
    """Yield numbers just outside the bounds of a schema."""
    if schema.get("type") not in ("integer", "number"):
        return
    step = 1 if schema["type"] == "integer" else 1e-3
    for bound, sign in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            yield schema[bound] + sign * step
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in schema:
            yield schema[exclusive]
    if "minimum" in schema and schema["type"] == "number":
        yield math.nan


def _expect_refusal(bench: Bench, name: str, value: object) -> None:
    given = {**bench.subject.options, name: value}
    try:
        bench.subject.detector.options_model.model_validate(given)
    except ValidationError:
        return
    raise CheckFailedError(f"option {name} = {value!r} was accepted")
