"""The detector ``onnx-labels``: labels of an image, and a vector to find similar images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import Field
from retinue_sdk import ConfigurationError, Detection, Findings, Image, Json, Result
from retinue_sdk.training import Trainer

from retinue_onnx.class_names import chosen_names, fingerprint_with, names_in_metadata
from retinue_onnx.detector import OnnxDetector, Placed
from retinue_onnx.hugging_face import export_beside
from retinue_onnx.imagenet import imagenet
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.options import Axes, OwnModelOptions, RuntimeOptions, Scores
from retinue_onnx.thresholds import thresholds_in_metadata

if TYPE_CHECKING:
    from retinue_sdk import Pixels

    from retinue_onnx.candidates import Floats, Integers
    from retinue_onnx.classifiers import Classifier
    from retinue_onnx.efficientnet import Classification
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession


DEFAULT_THRESHOLD = 0.5

OWN_OUTPUTS = ["probabilities", "features"]
"""The outputs of EfficientNet-lite0, the bundled one and trained ones."""

OF_OTHERS = (
    *("labels", "scores", "resize", "crop", "channels", "pixels", "mean", "std"),
    *("axes", "input_side_px"),
)
"""Options that only models of other frameworks have."""


class OnnxLabelOptions(OwnModelOptions):
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

    scores: Scores | None = None
    """The model's answer for the classes: confidences, or logits before softmax (``logits``) or
    sigmoid (``independent-logits``, for classes that don't exclude each other). Default: the only
    one that fits the answer to a black image. An answer beyond 0 to 1 is read as ``logits``.
    """

    resize: Literal["crop", "letterbox", "stretch"] | None = None
    """How images are resized: ``crop`` keeps the proportions and cuts the centre out, ``letterbox``
    keeps all of the image, ``stretch`` changes its proportions.
    """

    crop: Annotated[float | None, Field(gt=0, le=1)] = None
    """The part of the shorter side that remains with ``crop``. Default: 0.875, which is resizing to
    256 pixels and cutting 224 out; 1 for Ultralytics.
    """

    input_side_px: Annotated[int | None, Field(ge=16, le=4096)] = None
    """Side of the square input in pixels, if the model leaves it open."""

    embedding: bool = False
    """Whether to report a detection of kind ``embedding``. ``attributes.vector`` has 1,280 numbers
    of the length 1. The scalar product of two vectors is the similarity of the images. Needs about
    10 kB an image.
    """

    boxes: bool | None = None
    """Whether to label the contents of boxes instead of whole images: the detection has the box.
    ``onnx-objects`` finds the boxes, in the same call. Default: as the model was trained.
    """

    boxes_of: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    """Labels of ``onnx-objects`` whose boxes are used. Default: all."""

    objects: ObjectOptions | None = None
    """Options of ``onnx-objects`` to find the boxes with. Default: its bundled model."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of a network's classes. They overlap.

    Attributes:
        names: Their names, small groups first.
        members: The class ids of all groups, one after the other.
        begins: The position of each group's first member.
        parents: The groups that contain a class or a group, by its name.
    """

    names: Sequence[str]
    members: "Integers"
    begins: "Integers"
    parents: Mapping[str, Sequence[str]]

    def sums(self, probabilities: "Floats") -> "Floats":
        """Return the sum of each group's probabilities."""
        import numpy as np

        sums: Floats = np.add.reduceat(probabilities[self.members], self.begins)
        return sums


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a network.

    Attributes:
        names: The class names, ordered by id.
        thresholds: The minimum confidence of single labels.
        groups: Their groups, if there are some.
    """

    names: Sequence[str]
    thresholds: Mapping[str, float]
    groups: Groups | None = None


class OnnxLabelDetector(OnnxDetector[OnnxLabelOptions, "Classification"]):
    """Labels images or boxes in them: EfficientNet-lite0 of ImageNet, or your own model.

    `retinue models train --on local --kind labels` trains such a model.
    """

    name: ClassVar[str] = "onnx-labels"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "efficientnet-lite0.onnx"

    def __init__(self, options: OnnxLabelOptions) -> None:
        """Find the model files and the class names.

        Raises:
            ConfigurationError: A model or the file of names doesn't exist.
        """
        super().__init__(options)
        self._export = export_beside(options.model)
        chosen = None if options.labels is None else chosen_names(options.labels)
        self._labels = chosen or self._export.labels
        self._classes: Classes
        self._classifier: Classifier | None = None
        self._boxes = bool(options.boxes)
        # A trained model's file says whether it needs boxes, and is read later.
        may_crop = options.model is not None if options.boxes is None else options.boxes
        self._finder = ObjectDetector(_finder_options(options)) if may_crop else None

    @classmethod
    def trainer(cls) -> Trainer:
        """Return the trainer of classifiers."""
        from retinue_onnx.training.probe import LinearProbe

        return LinearProbe()

    def model_fingerprint(self) -> str:
        """Return a hash of the model file, the labels, and the files beside the model."""
        fingerprint = super().model_fingerprint()
        return fingerprint_with(fingerprint, self._labels, self._export.fingerprint())

    def describe(self) -> Mapping[str, Json]:
        """Return the network's inputs and outputs, and how they are used."""
        if self._loaded is None:
            return {}
        names: list[Json] = [*self._classes.names]
        own: dict[str, Json] = {}
        if (found := self._classifier) is not None:
            canvas: list[Json] = [found.height, found.width]
            own = {"scores": found.scores, "canvas": canvas, **found.preprocessing.as_json()}
        boxes: dict[str, Json] = {}
        if self._boxes and self._finder is not None:
            boxes = {"boxes of": self._finder.model_version}
        return {
            **super().describe(),
            **own,
            "labels": len(names),
            "first labels": names[:5],
            "threshold": self._minimum,
            **boxes,
        }

    @property
    def _axes(self) -> Axes | None:
        return self.options.axes

    def fingerprint(self) -> str:
        """Return the fingerprint of the options and models, wherever their files are."""
        options = self.options.model_copy(update={"model": None, "objects": None})
        models = [self.model_fingerprint()]
        if self._finder is not None:
            models += [self._finder.version, self._finder.fingerprint()]
        return options.fingerprint("\n".join(models))

    def start(self) -> None:
        """Load the network, and that of ``onnx-objects`` if boxes are needed.

        Raises:
            ConfigurationError: A model, an execution provider or an option can't be used.
        """
        super().start()
        options, finder = self.options, self._finder
        if not self._boxes or finder is None:
            for name in ("boxes_of", "objects"):
                if getattr(options, name) is not None:
                    raise ConfigurationError(
                        f"option {name}: the model labels whole images; leave the option out, or "
                        "set boxes to true"
                    )
            return
        if options.embedding:
            raise ConfigurationError(
                "option embedding: vectors are of whole images, and the model labels boxes in "
                "them; leave the option out, or set boxes to false"
            )
        finder.start()
        unknown = [name for name in options.boxes_of or () if name not in finder.labels]
        if unknown:
            raise ConfigurationError(
                f"option boxes_of: the boxes have no label {', '.join(unknown)}; their labels are "
                f"{', '.join(finder.labels)}"
            )

    def close(self) -> None:
        """Release the networks and their memory."""
        super().close()
        if self._finder is not None:
            self._finder.close()

    def prepare(self, image: Image) -> Placed:
        """Decode the image and place it on the canvas of the network that looks at all of it."""
        if not self._boxes or self._finder is None:
            return super().prepare(image)
        return replace(self._finder.prepare(image), pixels=image.pixels())

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return the labels of each image, or of the contents of its boxes."""
        if not self._boxes or self._finder is None:
            return super().detect(images)
        looked = self._finder.find(images, self.prepare)
        return [
            self._in_boxes(image.prepared(self.prepare), found)
            if isinstance(found, Findings)
            else found
            for image, found in zip(images, looked, strict=True)
        ]

    def _in_boxes(self, placed: Placed, looked: Findings) -> Result:
        """Return the labels of the contents of an image's boxes, best first."""
        import numpy as np

        from retinue_onnx.boxes import inside

        pixels = cast("Pixels", placed.pixels)  # by ``prepare``
        wanted = self.options.boxes_of
        boxes = [
            found.box
            for found in looked.detections
            if found.box is not None and (wanted is None or found.label in wanted)
        ]
        layout = self._started().layout
        crops = [np.ascontiguousarray(inside(pixels, box)) for box in boxes]
        placed_crops = [Placed(*layout.place(Image.from_pixels(crop))) for crop in crops]
        results = self._look_at(dict(enumerate(placed_crops)))
        detections: list[Detection] = []
        for index, box in enumerate(boxes):
            result = results[index]
            if not isinstance(result, Findings):
                return result
            detections += [replace(one, box=box) for one in result.detections]
        detections.sort(key=lambda one: -one.confidence)
        answer = {"boxes of": looked.model_version, "boxes": len(boxes)}
        return replace(
            looked,
            detections=tuple(detections),
            raw_response=answer,
            model_version=self.model_version,
        )

    def _layout(self, session: "OnnxSession") -> "Network[Classification]":
        if session.output_names == OWN_OUTPUTS:
            return self._efficientnet(session)
        from retinue_onnx.classifiers import recognised_classifier
        from retinue_onnx.preprocessing import Choices

        options = self.options
        if options.embedding:
            raise ConfigurationError(
                "option embedding: only EfficientNet-lite0 reports a vector; leave it out"
            )
        self._classifier = recognised_classifier(
            session,
            Choices(
                resize=options.resize,
                channels=options.channels,
                pixels=options.pixels,
                mean=options.mean,
                std=options.std,
                crop=options.crop,
            ).completed_by(self._export, takes_bytes=session.takes_bytes),
            scores=options.scores,
            labels=self._labels or names_in_metadata(session.metadata),
            side_px=options.input_side_px or self._export.side_px(session.height, session.width),
            images=self._parallelism.images,
        )
        names, thresholds = self._classifier.labels, thresholds_in_metadata(session.metadata)
        self._classes = _with_groups(names, thresholds)
        if self._classifier.scores == "independent-logits":  # which have no sum
            self._classes = Classes(names, thresholds)
        return self._classifier

    def _efficientnet(self, session: "OnnxSession") -> "Network[Classification]":
        from retinue_onnx.efficientnet import SIDE_PX, EfficientNet

        needless = [name for name in OF_OTHERS if getattr(self.options, name) is not None]
        if needless:
            raise ConfigurationError(
                f"option {needless[0]}: Retinue's own models know their labels and their "
                "preprocessing; leave the option out, or set option model to another model"
            )
        names = names_in_metadata(dict(session.metadata))
        thresholds = thresholds_in_metadata(session.metadata) if names else {}
        self._classes = _with_groups(names or imagenet().names, thresholds)
        if self.options.boxes is None:
            self._boxes = session.metadata.get("crops") == "true"
        shapes = {"probabilities": (len(self._classes.names),), "features": (1_280,)}
        session.require("EfficientNet-lite0", (SIDE_PX, SIDE_PX), shapes)
        return EfficientNet()

    def _detections(
        self,
        found: "Classification",
        placement: "Placement",  # noqa: ARG002 - labels have no position on the canvas
    ) -> list[Detection]:
        detections = [
            Detection("label", name, score, attributes=self._attributes(name))
            for name, score in self._scores(found.probabilities)
        ]
        if self.options.embedding and found.features is not None:
            vector = {"vector": _unit_vector(found.features)}
            detections.append(Detection("embedding", "EfficientNet-lite0", 1.0, attributes=vector))
        return detections

    def _scores(self, probabilities: "Floats") -> list[tuple[str, float]]:
        """Return names with scores, best first; of equal ones, classes first, then small groups."""
        classes, minimum = self._classes, self._minimum
        scores: dict[str, float] = {}
        for index in (probabilities >= minimum).nonzero()[0].tolist():
            name, score = classes.names[index], float(probabilities[index])
            scores[name] = max(score, scores.get(name, 0.0))
        if self.options.groups and classes.groups is not None:
            sums = classes.groups.sums(probabilities)
            for index in (sums >= minimum).nonzero()[0].tolist():
                scores[classes.groups.names[index]] = float(sums[index])
        enough = [(n, min(s, 1.0)) for n, s in scores.items() if s >= self._threshold(n)]
        return sorted(enough, key=lambda item: -item[1])[: self.options.max_labels]

    @property
    def _minimum(self) -> float:
        if self.options.threshold is not None:
            return self.options.threshold
        return min([*self._classes.thresholds.values(), DEFAULT_THRESHOLD])

    def _threshold(self, name: str) -> float:
        if self.options.threshold is not None:
            return self.options.threshold
        return self._classes.thresholds.get(name, DEFAULT_THRESHOLD)

    def _attributes(self, name: str) -> dict[str, Json]:
        """Return the groups around a class or group, in the form of Amazon Rekognition."""
        groups = self._classes.groups
        around = () if groups is None else groups.parents.get(name, ())
        parents: list[Json] = [{"Name": group} for group in around]
        return {"Parents": parents} if parents else {}


def _finder_options(options: OnnxLabelOptions) -> ObjectOptions:
    """Return the options of ``onnx-objects``. It runs like this detector unless they differ."""
    chosen = options.objects or ObjectOptions()
    inherited = {
        name: getattr(options, name)
        for name in RuntimeOptions.model_fields
        if name not in chosen.model_fields_set
    }
    return chosen.model_copy(update=inherited)


def _with_groups(names: Sequence[str], thresholds: Mapping[str, float]) -> Classes:
    """Return classes, with groups if they are ImageNet's."""
    import numpy as np

    known = imagenet()
    if tuple(names) != known.names:
        return Classes(names, thresholds)
    members = [np.array(sorted(ids)) for ids in known.groups.values()]
    begins = np.cumsum([0, *map(len, members[:-1])])
    groups = Groups(tuple(known.groups), np.concatenate(members), begins, known.parents)
    return Classes(names, thresholds, groups)


def _unit_vector(features: "Floats") -> list[Json]:
    """Return the features, scaled to the length 1 and rounded to four decimals."""
    length = float((features**2).sum()) ** 0.5
    return [round(float(number) / (length or 1.0), 4) for number in features]
