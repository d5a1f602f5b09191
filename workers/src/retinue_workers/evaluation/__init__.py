"""How right a detector is: what it found, held against ground truth, with COCO's own measures."""

from retinue_workers.evaluation.gather import Gathered, gather, truth_of_file, truth_of_history
from retinue_workers.evaluation.names import Names
from retinue_workers.evaluation.sample import Form, Item, Sample, Truth
from retinue_workers.evaluation.score import Evaluation, LabelScore, evaluate

__all__ = [
    "Evaluation",
    "Form",
    "Gathered",
    "Item",
    "LabelScore",
    "Names",
    "Sample",
    "Truth",
    "evaluate",
    "gather",
    "truth_of_file",
    "truth_of_history",
]
