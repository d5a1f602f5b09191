"""The detector ``onnx-labels``: what an image shows, and a vector to find similar images."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Detection, Json

from retinue_onnx.detector import OnnxDetector
from retinue_onnx.imagenet import ImageNet, imagenet
from retinue_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from retinue_onnx.candidates import Floats
    from retinue_onnx.efficientnet import Classification
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession


class OnnxLabelOptions(OnnxOptions):
    """Options of ``onnx-labels``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence, 0 to 1. The confidence of a group is the sum of its classes'."""

    max_labels: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Maximum number of labels, the most confident ones."""

    groups: bool = True
    """Whether to report groups of classes too: ``cat`` and ``animal`` beside ``Egyptian cat``."""

    embedding: bool = False
    """Whether to report a detection of kind ``embedding``. ``attributes.vector`` has 1,280 numbers
    of the length 1. The scalar product of two vectors is the similarity of the images. Needs about
    10 kB an image.
    """


class OnnxLabelDetector(OnnxDetector[OnnxLabelOptions, "Classification"]):
    """Names what an image shows, of ImageNet's 1,000 classes: EfficientNet-lite0."""

    name: ClassVar[str] = "onnx-labels"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "efficientnet-lite0.onnx"

    def _layout(self, session: "OnnxSession") -> "Network[Classification]":
        from retinue_onnx.efficientnet import SIDE_PX, EfficientNet

        shapes = {"probabilities": (len(imagenet().names),), "features": (1_280,)}
        session.require("EfficientNet-lite0", (SIDE_PX, SIDE_PX), shapes)
        return EfficientNet()

    def _detections(
        self,
        found: "Classification",
        placement: "Placement",  # noqa: ARG002 - labels have no position
    ) -> list[Detection]:
        detections = [
            Detection("label", name, score, attributes=_attributes(name))
            for name, score in self._scores(imagenet(), found.probabilities)
        ]
        if self.options.embedding:
            vector = {"vector": _unit_vector(found.features)}
            detections.append(Detection("embedding", "EfficientNet-lite0", 1.0, attributes=vector))
        return detections

    def _scores(self, classes: ImageNet, probabilities: "Floats") -> list[tuple[str, float]]:
        """Return names with scores, best first; of equal ones, classes first, then small groups."""
        scores = dict(zip(classes.names, map(float, probabilities), strict=True))
        if self.options.groups:
            for group, members in classes.groups.items():
                scores[group] = float(probabilities[list(members)].sum())
        enough = [(n, min(s, 1.0)) for n, s in scores.items() if s >= self.options.threshold]
        return sorted(enough, key=lambda item: -item[1])[: self.options.max_labels]


def _attributes(name: str) -> dict[str, Json]:
    """Return the groups around a class or group, in the form of Amazon Rekognition."""
    parents: list[Json] = [{"Name": group} for group in imagenet().parents[name]]
    return {"Parents": parents} if parents else {}


def _unit_vector(features: "Floats") -> list[Json]:
    """Return the features, scaled to the length 1 and rounded to four decimals."""
    length = float((features**2).sum()) ** 0.5
    return [round(float(number) / (length or 1.0), 4) for number in features]
