"""Import people's annotations from other tools into the history as ground truth."""

from retinue_cli.data.ground_truth.annotation import AnnotatedImage, Annotation
from retinue_cli.data.ground_truth.annotations import Annotations
from retinue_cli.data.ground_truth.match import Matched, match
from retinue_cli.data.ground_truth.problems import Problems
from retinue_cli.data.ground_truth.truths import make_truths

__all__ = [
    "AnnotatedImage",
    "Annotation",
    "Annotations",
    "Matched",
    "Problems",
    "make_truths",
    "match",
]
