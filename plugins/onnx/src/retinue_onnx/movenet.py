"""MoveNet multipose: up to six people with 17 points each.

For each cell of 4 × 4 pixels the network returns the likelihood that a person's centre lies there,
the size and position of the box, a first guess of the person's 17 points, and for each point the
likelihood that it is in this cell. The rules are those of the original's postprocessing
(https://www.kaggle.com/models/google/movenet, Apache-2.0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Candidates, Floats
from retinue_onnx.letterbox import Placement, letterboxed
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array

STRIDE_PX = 4
MULTIPLE_PX = 32
MAX_PEOPLE = 6
PEAK_CELLS = 2
"""A centre is the most likely one of the cells up to this far from it."""

NEARNESS = 0.3
"""A point's likelihood falls with its squared distance from the first guess, divided by this part
of the grid's shorter side."""

VISIBLE = 0.127
"""Points that are less likely don't count for the person's confidence."""

CHANNELS = {
    "centres": 1, "sizes": 2, "offsets": 2, "joints": 34, "joint_heatmaps": 17, "joint_offsets": 34
}  # fmt: skip
"""Channels of the outputs, in order. Pairs are y and x."""


@dataclass(frozen=True, slots=True)
class People:
    """The people in an image, best first.

    Attributes:
        boxes: Their boxes. ``points`` are the 17 points.
        likelihoods: Shape (n, 17), float32: of each point, 0 to 1.
    """

    boxes: Candidates
    likelihoods: Floats


@dataclass(frozen=True, slots=True)
class MoveNet:
    """MoveNet multipose, on canvases with the image's proportions.

    Attributes:
        max_side_px: Side of a canvas, in pixels; a multiple of 32.
    """

    max_side_px: int

    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-255")

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "movenet-multipose"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Letterbox on black, onto the smallest canvas that contains the resized image."""
        size_px = image.measure()
        scale = self.max_side_px / max(size_px)
        width, height = (-(-max(round(s * scale), 1) // MULTIPLE_PX) for s in size_px)
        return letterboxed(image, height=height * MULTIPLE_PX, width=width * MULTIPLE_PX)

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[People]:
        """Decode the most likely centres."""
        return [self._read_one([output[i] for output in outputs], threshold) for i in range(count)]

    def _read_one(self, maps: Sequence[Floats], threshold: float) -> People:
        centres, sizes, offsets, joints, heatmaps, joint_offsets = maps
        # A person is at most as likely as the centre.
        rows, columns = _peaks(centres[0], threshold)
        cells = np.stack([rows, columns], axis=1).astype(np.float32)  # y, x
        size = np.maximum(sizes[:, rows, columns].T, 0)
        middle = cells + offsets[:, rows, columns].T
        limits = np.array(centres.shape[1:], np.float32)
        low, high = np.clip(middle - size / 2, 0, limits), np.clip(middle + size / 2, 0, limits)
        guesses = cells[:, None] + joints[:, rows, columns].T.reshape(
            len(rows), len(joints) // 2, 2
        )
        points = np.zeros_like(guesses)
        likelihoods = np.zeros(guesses.shape[:2], np.float32)
        sides = [np.arange(side, dtype=np.float32) for side in centres.shape[1:]]
        finer = joint_offsets.reshape(-1, 2, *joint_offsets.shape[1:])
        for person, guess in enumerate(guesses):
            # The likelihood falls with the distance in rows, times that in columns.
            down, across = (
                np.exp(-((side - guess[:, axis, None]) ** 2) / (NEARNESS * limits.min()))
                * ((side >= low[person, axis]) & (side < high[person, axis]))
                for axis, side in enumerate(sides)
            )
            near = heatmaps * down[:, :, None] * across[:, None, :]
            best = near.reshape(len(near), -1).argmax(axis=1)
            y, x = np.unravel_index(best, centres.shape[1:])
            joint = np.arange(len(best))
            points[person] = np.stack([y, x], axis=1) + finer[joint, :, y, x]
            likelihoods[person] = near[joint, y, x]
        visible = likelihoods > VISIBLE
        means = (likelihoods * visible).sum(axis=1) / np.maximum(visible.sum(axis=1), 1)
        boxes = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1) * STRIDE_PX
        people = Candidates.of(
            boxes.astype(np.float32),
            centres[0, rows, columns] * means,
            np.zeros(len(rows), np.int64),
            points[..., ::-1] * STRIDE_PX,
        )
        order = np.argsort(-people.scores, kind="stable")
        order = order[people.scores[order] >= threshold]
        return People(people[order], likelihoods[order])


def _peaks(likelihoods: Floats, threshold: float) -> tuple[Array, Array]:
    """Return rows and columns of the most likely local maxima, best first."""
    highest = likelihoods
    for _ in range(2):  # of rows, then of columns
        grown = highest.copy()
        for step in range(1, PEAK_CELLS + 1):
            np.maximum(grown[step:], highest[:-step], out=grown[step:])
            np.maximum(grown[:-step], highest[step:], out=grown[:-step])
        highest = grown.T
    scores = np.where(likelihoods >= highest, likelihoods, 0).reshape(-1)
    best = np.argsort(-scores, kind="stable")[:MAX_PEOPLE]
    best = best[scores[best] >= threshold]
    rows, columns = np.unravel_index(best, likelihoods.shape)
    return rows, columns
