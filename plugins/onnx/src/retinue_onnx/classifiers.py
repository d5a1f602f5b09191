"""Classifiers of other frameworks: one output with a number for each class.

They are those of torchvision and timm (NCHW, logits), Hugging Face's exporter (``logits``),
Ultralytics' classification models (probabilities, and metadata) and Keras (NHWC, mostly
probabilities). A file doesn't contain its preprocessing, except for that of Ultralytics, so that
the user sets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from retinue_sdk import ConfigurationError, DetectorNotReadyError, Image, Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.class_names import Names
from retinue_onnx.efficientnet import Classification
from retinue_onnx.errors import NotANumberError
from retinue_onnx.imagenet import imagenet
from retinue_onnx.letterbox import Placement
from retinue_onnx.options import Scores
from retinue_onnx.preprocessing import Choices, Preprocessing
from retinue_onnx.readers.reader import sigmoid
from retinue_onnx.session import (
    Array,
    OnnxSession,
    canvas_size,
    one_image_only,
    remedy_of_failure,
)

LOGITS = "logits"
"""The output of Hugging Face's exporter, which can have more outputs."""

TOLERANCE = 0.01
"""Half precision rounds probabilities, so that their sum differs from 1."""

ULTRALYTICS = Preprocessing.of("crop", "0-1")
"""``classify_transforms`` in ultralytics: the shorter side is resized, the centre is cut out."""

USUAL_CROP = 224 / 256
"""The part of the shorter side that most models of torchvision and timm were trained to see."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """A classifier with its preprocessing and labels.

    Attributes:
        output: The number of the output with the scores.
        scores: The meaning of the scores.
        preprocessing: The preprocessing.
        labels: The labels, ordered by class id.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
    """

    output: int
    scores: Scores
    preprocessing: Preprocessing
    labels: Names
    height: int
    width: int

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "classifier"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Crop, letterbox or stretch the image."""
        return self.preprocessing.place(image, height=self.height, width=self.width)

    def read(
        self,
        outputs: Sequence[Array],
        count: int,
        threshold: float,  # noqa: ARG002 - of a group, not of a class
    ) -> list[Classification]:
        """Return all confidences.

        Raises:
            NotANumberError: A number isn't finite.
            DetectorNotReadyError: The network's probabilities aren't from 0 to 1.
        """
        numbers = outputs[self.output].reshape(-1, len(self.labels))[:count]
        if not np.isfinite(numbers).all():
            raise NotANumberError("the network answered with numbers that are not finite")
        if self.scores == "probabilities" and not _within_0_and_1(numbers):
            raise DetectorNotReadyError(
                f"option scores: the model answered with {numbers.min():.3g} to "
                f"{numbers.max():.3g}, which are no probabilities; set the option to logits"
            )
        return [Classification(confidences(one, self.scores), None) for one in numbers]


def recognised_classifier(
    session: OnnxSession,
    choices: Choices,
    *,
    scores: Scores | None = None,
    labels: Names | None = None,
    side_px: int | None = None,
    images: int = 1,
) -> Classifier:
    """Return the layout of a classifier, after running it once on a black image.

    Args:
        session: The loaded network.
        choices: The preprocessing that the user sets.
        scores: The meaning of the scores, if the user sets it.
        labels: The labels that the user or the file gives; ``None`` without any.
        side_px: Side of the canvas in pixels, if the network leaves it open.
        images: Maximum number of images in a batch.

    Raises:
        ConfigurationError: The network isn't a classifier, can't take batches, the labels don't
            match its classes, or it could be used in several ways. The error names the option that
            decides.
    """
    is_ultralytics = session.metadata.get("task") == "classify"
    height, width = canvas_size(session, side_px, default=None)
    outputs = session.probe(height=height, width=width, remedy=remedy_of_failure(session))
    number = _output(session, outputs)
    [answer, *_] = outputs[number].reshape(session.batch or 1, -1)
    if images > 1 and session.batch is None:
        pair = session.probe_two(height=height, width=width)[number]
        if pair.size != 2 * answer.size:
            raise one_image_only(f"{session.output_names[number]} {pair.shape}")
    return Classifier(
        number,
        scores or _scores(answer),
        _preprocessing(session, choices, is_ultralytics=is_ultralytics),
        _labels(answer, labels),
        height,
        width,
    )


def confidences(numbers: Array, scores: Scores) -> Floats:
    """Return a network's numbers for the classes of one image as confidences, 0 to 1."""
    if scores == "logits":
        weights = np.exp(numbers - numbers.max())
        numbers = weights / weights.sum()
    elif scores == "independent-logits":
        numbers = sigmoid(numbers)
    return np.clip(numbers, 0, 1).astype(np.float32)


def _output(session: OnnxSession, outputs: Sequence[Array]) -> int:
    """Return the number of the output with the scores."""
    # The axes of an image of one pixel may remain after the last pooling.
    fitting = [
        number
        for number, output in enumerate(outputs)
        if output.dtype.kind == "f"
        and output.ndim
        and (one := output[:1] if session.has_batch else output[None]).ndim >= 2
        and one.size == max(one.shape)
    ]
    named = [number for number in fitting if session.output_names[number] == LOGITS]
    if len(outputs) > 1:
        fitting = named
    if len(fitting) != 1:
        found = "; ".join(
            f"{name} {output.dtype} {output.shape}"
            for name, output in zip(session.output_names, outputs, strict=True)
        )
        raise ConfigurationError(
            f"option model: its outputs are not a classifier's. Found: {found}. Understood: one "
            "output (N, classes) of floats, or among others one that is called logits; or "
            "EfficientNet-lite0's probabilities and features, as `retinue models train` writes "
            "them. For a model that finds boxes, use onnx-objects"
        )
    return fitting[0]


def _scores(answer: Array) -> Scores:
    """Return the meaning of the scores for a black image.

    Raises:
        ConfigurationError: They could be logits and probabilities.
    """
    if not _within_0_and_1(answer):
        return "logits"
    if abs(float(answer.sum()) - 1) <= TOLERANCE and len(answer) > 1:
        return "probabilities"
    raise ConfigurationError(
        f"option scores: for a black image, the model answers with {answer.min():.3g} to "
        f"{answer.max():.3g}, with a sum of {answer.sum():.3g}; set the option to probabilities if "
        "these are confidences, to logits if one class excludes the others (softmax), or to "
        "independent-logits (sigmoid)"
    )


def _within_0_and_1(numbers: Array) -> bool:
    return bool(numbers.min() >= -TOLERANCE and numbers.max() <= 1 + TOLERANCE)


def _labels(answer: Array, given: Names | None) -> Names:
    """Return the given labels, or ImageNet's.

    Raises:
        ConfigurationError: Their number differs from that of the classes.
    """
    labels = imagenet().names if given is None else given
    if len(labels) != len(answer):
        source = "from the option, the file's metadata, or config.json" if given else "ImageNet's"
        raise ConfigurationError(
            f"option labels: the model has {len(answer)} classes, but there are {len(labels)} "
            f"labels ({source}); give one label for each class, in the order of the class ids"
        )
    return labels


def _preprocessing(
    session: OnnxSession, choices: Choices, *, is_ultralytics: bool
) -> Preprocessing:
    """Return the user's preprocessing, or that of Ultralytics.

    Raises:
        ConfigurationError: The user doesn't set a missing part of it.
    """
    usual = ULTRALYTICS
    if not is_ultralytics:
        usual = Preprocessing("crop", 0, "rgb", usual.mean, usual.deviation, USUAL_CROP)
        missing = []
        if choices.pixels is None and choices.mean is None and not session.takes_bytes:
            missing.append(
                "pixels: imagenet for most models of torchvision and timm, -1-1 or imagenet for "
                "those of Hugging Face, 0-255 or -1-1 for those of Keras; or mean and std"
            )
        if choices.resize is None:
            missing.append(
                "resize: crop for most models of torchvision and timm, stretch for most others"
            )
        if missing:
            raise ConfigurationError(
                f"option {'pixels' if len(missing) == 2 else missing[0].split(':')[0]}: the file "
                "doesn't document how images were prepared in the training. Set "
                + ", and ".join(missing)
            )
    return choices.applied_to(usual, takes_bytes=session.takes_bytes)
