"""MMDeploy's exports of MMDetection, such as RTMDet: boxes with scores, and class ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from retinue_onnx.candidates import Candidates
from retinue_onnx.preprocessing import YOLO_GREY, Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, listed
from retinue_onnx.session import Array


@dataclass(frozen=True)
class MmDeploy(Reader):
    """Boxes are left, top, right, bottom in pixels of the canvas.

    Attributes:
        order: The numbers of the outputs with boxes and classes.
    """

    name: ClassVar[str] = "mmdeploy"
    outputs: ClassVar[str] = "MMDeploy (RTMDet): dets (N, M, 5), labels (N, M)"
    classes = None
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of(
        "letterbox-top-left", "imagenet", channels="bgr", fill=YOLO_GREY
    )
    """That of configs/rtmdet: ``bgr_to_rgb=False``, padded at the right and bottom."""

    order: tuple[int, int]

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the two names, with matching shapes."""
        found = probe.named("dets", "labels")
        if found is None or found[1].ndim != 2 or found[0].shape != (*found[1].shape, 5):
            return None
        return cls((probe.at["dets"], probe.at["labels"]))

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the image's rows."""
        rows, classes = (outputs[number][index] for number in self.order)
        return listed(rows[:, :4], rows[:, 4], classes, threshold)
