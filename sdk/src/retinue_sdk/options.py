"""What a user may set about a detector."""

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python


class Operational:
    """Marks an option that changes how a detector works but not what it finds.

    Batch sizes, timeouts, which processor to use: ``Annotated[int, Operational()]``. Such options
    are left out of the fingerprint, so changing them does not make every image new.
    """

    __slots__ = ()


class DetectorOptions(BaseModel):
    """Base of every detector's options: frozen, and refuses names that it does not know.

    Subclass it with typed fields; give each a ``description`` (and units in its name). A detector
    without options uses this class as it is.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    def fingerprint(self, model: str = "") -> str:
        """32 hex digits that stay the same as long as the same findings can be expected.

        Args:
            model: What identifies the model that the options name, where their text does not (a
                hash of a weights file).

        Returns:
            The first 128 bits of SHA-256 over the options as canonical JSON, operational and secret
            ones left out, and ``model``.
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
    """Sets as sorted lists: their own order is another one in each process."""
    match value:
        case dict():
            return {key: _without_sets(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_sets(item) for item in value]
        case set() | frozenset():
            items = to_jsonable_python([_without_sets(item) for item in value])
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value
