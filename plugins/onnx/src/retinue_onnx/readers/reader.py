"""The interface of a reader, and the properties by which it is chosen."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from retinue_onnx.candidates import Candidates
from retinue_onnx.class_names import Names
from retinue_onnx.graph import Graph, Head
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array, numbers


@dataclass(frozen=True)
class Probe:
    """A network's answer to a black image.

    Attributes:
        names: The outputs' names, in the network's order.
        outputs: The outputs.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        batch: Number of images.
        labels: The labels that the user or the file gives; ``None`` without any.
        metadata: Custom metadata in the file.
    """

    names: Sequence[str]
    outputs: Sequence[Array]
    height: int
    width: int
    batch: int
    labels: Names | None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def at(self) -> Mapping[str, int]:
        """Return each output's number by its name, without TensorFlow's suffix ``:0``."""
        return {name.removesuffix(":0"): number for number, name in enumerate(self.names)}

    @cached_property
    def keypoint_columns(self) -> int:
        """Return the number of columns that Ultralytics' pose model adds to a box; else 0."""
        if self.metadata.get("task") != "pose":
            return 0
        sizes = numbers(self.metadata.get("kpt_shape", ""))
        return math.prod(sizes) if sizes else 0

    def named(self, *names: str) -> list[Array] | None:
        """Return the outputs of these names; ``None`` if one is missing."""
        if not all(name in self.at for name in names):
            return None
        return [self.outputs[self.at[name]] for name in names]

    def with_prototypes(self) -> tuple[int, int] | None:
        """Return the number of the output with boxes, and how many masks the other one combines.

        Ultralytics' segmentation models have prototypes of masks, a quarter of the canvas in size.
        """
        dimensions = [output.ndim for output in self.outputs]
        if sorted(dimensions) != [3, 4]:
            return None
        at = dimensions.index(3)
        prototypes = self.outputs[1 - at].shape
        size = (self.batch, prototypes[1], self.height // 4, self.width // 4)
        return (at, prototypes[1]) if prototypes == size else None

    def exported(self, *names: str) -> list[int] | None:
        """Return the numbers of SuperGradients' outputs of these names, if there are no others.

        It puts the number of a graph before a name: ``graph2_pred_boxes``.
        """
        at = {re.sub(r"^graph\d*_", "", name): number for name, number in self.at.items()}
        return [at[name] for name in names] if at.keys() == set(names) else None

    def only(self, *shape: int | None) -> Array | None:
        """Return the only output, if it has this shape (``None``: any size) and contains floats."""
        if len(self.outputs) != 1:
            return None
        [output] = self.outputs
        fits = output.ndim == len(shape) and all(
            size in (wanted, None) or wanted is None
            for size, wanted in zip(output.shape, shape, strict=True)
        )
        return output if fits and output.dtype.kind == "f" else None


class Reader(ABC):
    """Reads the answers of one family of networks.

    Attributes:
        name: The value of the option ``layout``, also for the raw response.
        outputs: The outputs in words, for errors.
        preprocessing: The family's preprocessing.
        first_class: The class id of the first label.
        MAX_IOU: Maximum intersection over union of two boxes of a class; ``None`` if the network
            suppresses itself.
        classes: Number of classes; ``None`` if the outputs' shapes don't show it.
    """

    name: ClassVar[str]
    outputs: ClassVar[str]
    preprocessing: ClassVar[Preprocessing]
    first_class: ClassVar[int] = 0
    MAX_IOU: ClassVar[float | None] = None
    classes: int | None

    @classmethod
    @abstractmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Return a reader for these outputs; ``None`` if they are another family's."""

    @abstractmethod
    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the candidates in an image whose score reaches the threshold.

        Args:
            outputs: The outputs in the network's order, for the whole batch.
            index: The image's number in the batch.
            threshold: Minimum score, 0 to 1.

        Returns:
            Boxes in pixels of the canvas, best first. Overlapping ones are suppressed if the
            family needs it.

        Raises:
            NotANumberError: A box isn't finite.
        """

    def head(
        self,
        graph: Graph,  # noqa: ARG002
        outputs: Sequence[str],  # noqa: ARG002
        shapes: Sequence[tuple[int, ...]],  # noqa: ARG002
    ) -> Head | None:
        """Add the decoding of the outputs to the network, as in ``read_one``.

        Args:
            graph: Gets the operators.
            outputs: The outputs' names in the network's order, as float32.
            shapes: Their shapes, with any number of images.

        Returns:
            The candidates; ``None`` if the outputs are small, or change their size.
        """
        return None


def sigmoid(logits: Array) -> Array:
    """Return logits as scores from 0 to 1, without overflow."""
    scores: Array = 0.5 * (1 + np.tanh(0.5 * logits))
    return scores


def edges(centred: Array) -> Array:
    """Return boxes given as centre x, centre y, width, height as left, top, right, bottom."""
    half = centred[..., 2:] / 2
    corners: Array = np.concatenate([centred[..., :2] - half, centred[..., :2] + half], axis=-1)
    return corners


def reaching(boxes: Array, scores: Array, threshold: float) -> Candidates:
    """Return a candidate for each box and class whose score reaches the threshold.

    Args:
        boxes: Shape (n, 4): left, top, right, bottom.
        scores: Shape (n, classes).
        threshold: Minimum score, 0 to 1.
    """
    rows, classes = np.divmod(np.flatnonzero(scores >= threshold), scores.shape[1])
    return Candidates.of(
        boxes[rows].astype(np.float32), scores[rows, classes].astype(np.float32), classes
    )


def listed(boxes: Array, scores: Array, classes: Array, threshold: float) -> Candidates:
    """Return boxes with one class each, whose score reaches the threshold, best first.

    Boxes of a negative class are padding.

    Args:
        boxes: Shape (n, 4): left, top, right, bottom.
        scores: Shape (n,).
        classes: Shape (n,).
        threshold: Minimum score, 0 to 1.
    """
    wanted = (scores >= threshold) & (classes >= 0)
    return Candidates.of(
        boxes[wanted].astype(np.float32),
        scores[wanted].astype(np.float32),
        classes[wanted].astype(np.int64),
    ).best_first()


def are_boxes(boxes: Array, scores: Array, classes: Array) -> bool:
    """Return whether shapes are (N, M, 4), (N, M) and (N, M)."""
    shape = scores.shape
    return len(shape) == 2 and classes.shape == shape and boxes.shape == (*shape, 4)
