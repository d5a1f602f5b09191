"""Minimum confidence of a trained model's labels."""

import json
from collections.abc import Mapping

from retinue_sdk import ConfigurationError


def thresholds_in_metadata(metadata: Mapping[str, str]) -> dict[str, float]:
    """Return the thresholds that `retinue models train` wrote into a model, by label.

    Raises:
        ConfigurationError: They can't be read.
    """
    text = metadata.get("thresholds", "{}")
    try:
        found = {str(label): float(value) for label, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None or not all(0 <= value <= 1 for value in found.values()):
        raise ConfigurationError(
            "option model: the file's metadata has thresholds that can't be read: "
            f"thresholds={text:.80}; remove them, or train the model again"
        )
    return found
