"""The options of detectors."""

import hashlib
import json
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, to_jsonable_python


class Operational:
    """Marks an option that changes how a detector works but not what it finds.

    Examples are batch sizes, timeouts and the processor: ``Annotated[int, Operational()]``. These
    options are not part of the fingerprint, so changing them does not cause Retinue to process
    images again.
    """

    __slots__ = ()


class DescribedModel(BaseModel):
    """A model whose JSON schema describes each field by the docstring below it.

    pydantic's ``use_attribute_docstrings`` reads source files when a class is created. This class
    reads them only when a schema is requested, because workers need no descriptions.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for model in cls.__mro__:
            for name, text in _attribute_docstrings(model).items():
                if name in fields:
                    fields[name].setdefault("description", text)
        return schema


@cache  # parsing takes 10 ms, and all options share their bases
def _attribute_docstrings(cls: type) -> dict[str, str]:
    """Return the docstrings below the annotated attributes of a class, if its source exists."""
    import ast
    import inspect
    import textwrap

    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):
        return {}
    found = {}
    for statement, following in pairwise(getattr(node, "body", [])):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


class DetectorOptions(DescribedModel):
    """The base class of detectors' options. It is frozen and refuses unknown names.

    Subclass it with typed fields. Write a docstring below each field, and put units into its name.
    A detector without options uses this class itself.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True
    )

    def fingerprint(self, model: str = "") -> str:
        """Return 32 hex digits that change when the options or the model change.

        Args:
            model: A text that identifies the model, if the options don't, such as a hash of a
                weights file.

        Returns:
            The first 128 bits of SHA-256 over the options as canonical JSON, without operational
            and secret ones, and over ``model``.
        """
        operational = {
            name
            for name, field in type(self).model_fields.items()
            if any(isinstance(mark, Operational) for mark in field.metadata)
        }
        # Secrets are written as asterisks in JSON, so no key can leak or matter.
        options = to_jsonable_python(_without_sets(self.model_dump(exclude=operational)))
        text = json.dumps([options, model], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _without_sets(value: Any) -> Any:
    """Replace sets with sorted lists, because the order of a set differs between processes."""
    match value:
        case dict():
            return {key: _without_sets(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_sets(item) for item in value]
        case set() | frozenset():
            items = to_jsonable_python([_without_sets(item) for item in value])
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value
