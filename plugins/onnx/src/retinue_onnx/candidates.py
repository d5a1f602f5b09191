"""A network's candidates in one image, before suppression."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from retinue_onnx.errors import NotANumberError

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes with scores. All arrays have the same length n.

    Attributes:
        boxes: Shape (n, 4), float32: left, top, right, bottom in pixels of the canvas.
        scores: Shape (n,), float32: 0 to 1.
        classes: Shape (n,), int64: class ids from 0.
        points: Shape (n, k, 2), float32: x, y of k landmarks in pixels of the canvas; k may be 0.
    """

    boxes: Floats
    scores: Floats
    classes: Integers
    points: Floats

    @classmethod
    def of(
        cls, boxes: Floats, scores: Floats, classes: Integers, points: Floats | None = None
    ) -> Self:
        """Return candidates with or without landmarks.

        Raises:
            NotANumberError: A box, score or point isn't finite.
        """
        if points is None:
            points = np.zeros((len(boxes), 0, 2), np.float32)
        if not all(np.isfinite(array).all() for array in (boxes, scores, points)):
            raise NotANumberError("the network answered with boxes that are not finite")
        return cls(boxes, scores, classes, points)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: npt.NDArray[Any]) -> "Candidates":
        """Return the candidates that an index or mask array selects."""
        return Candidates(
            self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.points[chosen]
        )

    def best_first(self, limit: int | None = None) -> "Candidates":
        """Return at most ``limit`` candidates by descending score.

        Equal scores keep their order.
        """
        return self[np.argsort(-self.scores, kind="stable")[:limit]]
