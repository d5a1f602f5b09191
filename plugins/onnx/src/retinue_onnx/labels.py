"""The detector ``onnx-labels``: labels of an image, and a vector to find similar images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Detection, Json
from retinue_sdk.training import Trainer

from retinue_onnx.class_names import names_in_metadata
from retinue_onnx.detector import OnnxDetector
from retinue_onnx.imagenet import imagenet
from retinue_onnx.options import OnnxOptions
from retinue_onnx.thresholds import thresholds_in_metadata

if TYPE_CHECKING:
    from retinue_onnx.candidates import Floats
    from retinue_onnx.efficientnet import Classification
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession


DEFAULT_THRESHOLD = 0.5


class OnnxLabelOptions(OnnxOptions):
    """Options of ``onnx-labels``."""

    threshold: Annotated[float | None, Field(ge=0, le=1)] = None
    """Minimum confidence, 0 to 1. The confidence of a group is the sum of its classes'. Default:
    that of each label of a trained model, otherwise 0.5.
    """

    max_labels: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Maximum number of labels, the most confident ones."""

    groups: bool = True
    """Whether to report groups of ImageNet's classes too: ``cat`` and ``animal`` beside ``Egyptian
    cat``.
    """

    embedding: bool = False
    """Whether to report a detection of kind ``embedding``. ``attributes.vector`` has 1,280 numbers
    of the length 1. The scalar product of two vectors is the similarity of the images. Needs about
    10 kB an image.
    """


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a network.

    Attributes:
        names: The class names, ordered by id.
        groups: The class ids of each group by its name, as in imagenet.py.
        parents: The groups that contain a class or a group, by its name.
        thresholds: The minimum confidence of single labels.
    """

    names: Sequence[str]
    groups: Mapping[str, list[int]]
    parents: Mapping[str, Sequence[str]]
    thresholds: Mapping[str, float]


class OnnxLabelDetector(OnnxDetector[OnnxLabelOptions, "Classification"]):
    """Labels whole images: EfficientNet-lite0 with ImageNet's 1,000 classes, or with yours.

    `retinue models train --on local --kind labels` trains such a model.
    """

    name: ClassVar[str] = "onnx-labels"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "efficientnet-lite0.onnx"

    def __init__(self, options: OnnxLabelOptions) -> None:
        """Find the model file.

        Raises:
            ConfigurationError: It doesn't exist.
        """
        super().__init__(options)
        self._classes: Classes

    @classmethod
    def trainer(cls) -> Trainer:
        """Return the trainer of classifiers."""
        from retinue_onnx.training.probe import LinearProbe

        return LinearProbe()

    def describe(self) -> Mapping[str, Json]:
        """Return the network's inputs and outputs, and its labels."""
        if self._loaded is None:
            return {}
        names: list[Json] = [*self._classes.names]
        return {**super().describe(), "labels": len(names), "first labels": names[:5]}

    def _layout(self, session: "OnnxSession") -> "Network[Classification]":
        from retinue_onnx.efficientnet import SIDE_PX, EfficientNet

        self._classes = _classes(session.metadata)
        shapes = {"probabilities": (len(self._classes.names),), "features": (1_280,)}
        session.require("EfficientNet-lite0", (SIDE_PX, SIDE_PX), shapes)
        return EfficientNet()

    def _detections(
        self,
        found: "Classification",
        placement: "Placement",  # noqa: ARG002 - labels have no position
    ) -> list[Detection]:
        detections = [
            Detection("label", name, score, attributes=self._attributes(name))
            for name, score in self._scores(found.probabilities)
        ]
        if self.options.embedding:
            vector = {"vector": _unit_vector(found.features)}
            detections.append(Detection("embedding", "EfficientNet-lite0", 1.0, attributes=vector))
        return detections

    def _scores(self, probabilities: "Floats") -> list[tuple[str, float]]:
        """Return names with scores, best first; of equal ones, classes first, then small groups."""
        classes = self._classes
        scores = dict(zip(classes.names, probabilities.tolist(), strict=True))
        if self.options.groups:
            for group, members in classes.groups.items():
                scores[group] = float(probabilities[members].sum())
        least = min([*classes.thresholds.values(), DEFAULT_THRESHOLD])
        if self.options.threshold is not None:
            least = self.options.threshold
        promising = ((n, s) for n, s in scores.items() if s >= least)
        enough = [(n, min(s, 1.0)) for n, s in promising if s >= self._threshold(n)]
        return sorted(enough, key=lambda item: -item[1])[: self.options.max_labels]

    def _threshold(self, name: str) -> float:
        if self.options.threshold is not None:
            return self.options.threshold
        return self._classes.thresholds.get(name, DEFAULT_THRESHOLD)

    def _attributes(self, name: str) -> dict[str, Json]:
        """Return the groups around a class or group, in the form of Amazon Rekognition."""
        parents: list[Json] = [{"Name": group} for group in self._classes.parents.get(name, ())]
        return {"Parents": parents} if parents else {}


def _classes(metadata: Mapping[str, str]) -> Classes:
    """Return the classes of a trained model by its metadata, and ImageNet's without any.

    Raises:
        ConfigurationError: The metadata can't be read.
    """
    names = names_in_metadata(dict(metadata))
    if names is not None:
        return Classes(names, {}, {}, thresholds_in_metadata(metadata))
    known = imagenet()
    groups = {name: sorted(members) for name, members in known.groups.items()}
    return Classes(known.names, groups, known.parents, {})


def _unit_vector(features: "Floats") -> list[Json]:
    """Return the features, scaled to the length 1 and rounded to four decimals."""
    length = float((features**2).sum()) ** 0.5
    return [round(float(number) / (length or 1.0), 4) for number in features]
