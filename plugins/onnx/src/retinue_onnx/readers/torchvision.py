"""Torchvision's detectors (Faster R-CNN, RetinaNet, SSD, FCOS): one image, without a batch axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from retinue_onnx.candidates import Candidates
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, listed
from retinue_onnx.session import Array


@dataclass(frozen=True)
class Torchvision(Reader):
    """Boxes are left, top, right, bottom in pixels of the canvas. Class ids start at 1.

    The network resizes and normalises the image itself (``GeneralizedRCNNTransform``). Exporters
    rarely name its outputs, so shapes and types identify them. Masks (M, 1, height, width),
    keypoints (M, K, 3) and their scores (M, K) are ignored.

    Attributes:
        order: The numbers of the outputs with boxes, scores and classes.
    """

    name: ClassVar[str] = "torchvision"
    outputs: ClassVar[str] = (
        "torchvision: floats (M, 4) as boxes, floats (M,) as scores, integers (M,) as labels"
    )
    classes = None
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-1")
    first_class: ClassVar[int] = 1

    order: tuple[int, ...]

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept exactly one output of each kind, with equal lengths."""
        if probe.batch != 1 or not all(output.ndim for output in probe.outputs):
            return None
        if len({len(output) for output in probe.outputs}) != 1:
            return None
        kinds = [(output.dtype.kind, *output.shape[1:]) for output in probe.outputs]
        wanted: tuple[tuple[str | int, ...], ...] = (("f", 4), ("f",), ("i",))
        others = [kind for kind in kinds if kind not in wanted]
        if len(kinds) - len(others) != len(wanted) or not set(wanted) <= set(kinds):
            return None
        if any(kind[0] != "f" or len(kind) == 1 for kind in others):
            return None
        return cls(tuple(kinds.index(kind) for kind in wanted))

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the rows of the only image."""
        del index
        boxes, scores, classes = (outputs[number] for number in self.order)
        return listed(boxes, scores, classes, threshold)
