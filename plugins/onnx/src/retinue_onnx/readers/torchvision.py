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
    rarely name its outputs, so shapes and types identify them.

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
        if probe.batch != 1 or len(probe.outputs) != 3:
            return None
        kinds: list[tuple[int, str]] = [
            (output.ndim, output.dtype.kind) for output in probe.outputs
        ]
        wanted = ((2, "f"), (1, "f"), (1, "i"))
        if sorted(kinds) != sorted(wanted):
            return None
        order = tuple(kinds.index(kind) for kind in wanted)
        boxes, scores, classes = (probe.outputs[number] for number in order)
        if not boxes.shape == (len(scores), 4) == (len(classes), 4):
            return None
        return cls(order)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the rows of the only image."""
        del index
        boxes, scores, classes = (outputs[number] for number in self.order)
        return listed(boxes, scores, classes, threshold)
