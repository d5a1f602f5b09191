"""The metadata of a trained model: its labels and their thresholds."""

import json
from collections.abc import Sequence

from retinue_sdk.training import ClassScore, TrainingOptions


def metadata(
    options: TrainingOptions, labels: Sequence[str], scores: Sequence[ClassScore]
) -> dict[str, str]:
    """Return the entries that the detectors read from a trained model's file.

    ``names`` has the form of Ultralytics' exporters, as in class_names.py. ``crops`` is there if
    the model learned the contents of boxes.
    """
    return {
        "name": options.name,
        "names": str(dict(enumerate(labels))),
        "thresholds": json.dumps({score.label: score.threshold for score in scores}),
        **({"crops": "true"} if options.crops else {}),
    }
