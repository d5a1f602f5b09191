"""JSON values, as raw responses and attributes are made of."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What ``json.dumps`` writes: numbers must be finite when a run is recorded."""
