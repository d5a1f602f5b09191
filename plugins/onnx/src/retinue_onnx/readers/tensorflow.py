"""TensorFlow's Object Detection API, converted by tf2onnx."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from retinue_onnx.candidates import Candidates
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, are_boxes, listed
from retinue_onnx.session import Array


@dataclass(frozen=True)
class TensorFlow(Reader):
    """Boxes are top, left, bottom, right as ratios of the canvas. Class ids start at 1.

    The network resizes and normalises the image itself (``exporter_lib_v2.py``). Its further
    outputs, such as ``raw_detection_boxes``, are ignored.

    Attributes:
        order: The numbers of the outputs with number, boxes, scores and classes.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
    """

    name: ClassVar[str] = "tensorflow"
    outputs: ClassVar[str] = (
        "TensorFlow Object Detection API: num_detections (N,), detection_boxes (N, M, 4), "
        "detection_scores (N, M), detection_classes (N, M)"
    )
    classes = None
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "0-255")
    first_class: ClassVar[int] = 1

    order: tuple[int, ...]
    height: int
    width: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the four names, with matching shapes."""
        names = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")
        found = probe.named(*names)
        if found is None or not are_boxes(*found[1:]):
            return None
        return cls(tuple(probe.at[name] for name in names), probe.height, probe.width)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the image's rows, without padding."""
        numbers, boxes, scores, classes = (outputs[number] for number in self.order)
        end = int(numbers.reshape(-1)[index])
        corners = boxes[index, :end][:, [1, 0, 3, 2]]
        pixels = corners * (self.width, self.height, self.width, self.height)
        return listed(pixels, scores[index, :end], classes[index, :end], threshold)
