"""Feature maps of images with their boxes, from several views, kept in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageEnhance
from retinue_sdk import Image, Pixels
from retinue_sdk.training import Example

from retinue_onnx.candidates import Floats, Integers
from retinue_onnx.readers.nanodet import Grid, NanoDet, grids
from retinue_onnx.training.assignment import Targets, assign
from retinue_onnx.training.kept import Arrays, keep
from retinue_onnx.training.nanodet_body import SIDE_PX, Halves, NanoDetBody

VIEWS = 3
"""Views of each training image: as it is, and cut, enlarged and lit at random."""

NAME = "view"
"""The beginning of the files' names."""

MARGIN = 0.3
"""Largest border around an image in a random view, as a share of its sides: things get smaller."""

LIGHT = (0.7, 1.3)
"""Range of the random factors of brightness, contrast and colour."""

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class View:
    """The features of one view of an image, with its boxes.

    Attributes:
        features: For each stride, shape (rows, columns, channels).
        boxes: Shape (n, 4): left, top, right, bottom in pixels of the canvas.
        classes: Shape (n,).
        absent: Shape (m, 4): boxes in which people saw none of the labels.
    """

    features: Sequence[Halves]
    boxes: Floats
    classes: Integers
    absent: Floats

    @property
    def targets(self) -> list[Targets]:
        """Return the targets of each stride."""
        return assign(self.boxes, self.classes, GRIDS)


GRIDS: tuple[Grid, ...] = grids(SIDE_PX, SIDE_PX)


class Views:
    """Computes views, and keeps them in files: about 0.9 MB each.

    Args:
        body: The network.
        folder: The folder of the files.
        labels: The classes.
        seed: Seed of the random views.
    """

    def __init__(self, body: NanoDetBody, folder: Path, labels: Sequence[str], seed: int) -> None:
        self._body = body
        self._folder = folder
        self._classes = {label: number for number, label in enumerate(labels)}
        self._seed = seed
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, example: Example, number: int) -> View:
        """Return a view; 0 is the unchanged image.

        Raises:
            InvalidImageError: The image can't be read.
        """
        edges = _edges(example)
        classes = np.array([self._classes[one.label] for one in example.things], np.int64)
        facts = (self._body.sha256, self._seed, number, example.sha256, edges.tolist())
        boxes, *features = keep(
            self._folder, NAME, facts, lambda: self._compute(example, edges, number)
        )
        return View(features, boxes[: len(classes)], classes, boxes[len(classes) :])

    def files(self) -> list[Path]:
        """Return all files."""
        return list(self._folder.glob(f"{NAME}-*.npz"))

    def _compute(self, example: Example, boxes: Floats, number: int) -> Arrays:
        """Return the boxes, and the features of each stride."""
        image = example.load()
        if number:
            # Of the file alone, so that neither order nor other images change the views.
            random = np.random.default_rng([self._seed, number, int(example.sha256[:16], 16)])
            pixels, boxes = _varied(image.pixels(), boxes, random)
            image = Image.from_pixels(pixels)
        preprocessing = NanoDet.preprocessing
        canvas, placement = preprocessing.place(image, height=SIDE_PX, width=SIDE_PX)
        features = self._body.features(preprocessing.normalise(canvas[None]))
        placed = placement.to_canvas(boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        return [placed, *(one[0] for one in features)]


def _edges(example: Example) -> Floats:
    """Return the edges of an image's things, then of absent ones, as ratios, shape (n, 4)."""
    marked = [*example.things, *example.absent]
    boxes = [one.box.clipped() for one in marked if one.box is not None]
    edges = [(box.left, box.top, box.right, box.bottom) for box in boxes]
    return np.array(edges, np.float32).reshape(-1, 4)


def _varied(pixels: Pixels, boxes: Floats, random: Random) -> tuple[Pixels, Floats]:
    """Return a random cut that contains all boxes, perhaps with a black border, lit at random."""
    height, width = pixels.shape[:2]
    first = boxes[:, :2].min(axis=0) if len(boxes) else np.full(2, 0.3)
    last = boxes[:, 2:].max(axis=0) if len(boxes) else np.full(2, 0.7)
    left, top = random.uniform(-MARGIN, np.maximum(first, -MARGIN))
    right, bottom = random.uniform(np.minimum(last, 1 + MARGIN), 1 + MARGIN)
    x, y = round(left * width), round(top * height)
    end_x, end_y = max(round(right * width), x + 1), max(round(bottom * height), y + 1)
    image = PillowImage.fromarray(pixels).crop((x, y, end_x, end_y))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(float(random.uniform(*LIGHT)))
    corners = boxes.reshape(-1, 2, 2) * (width, height)
    moved = ((corners - (x, y)) / (end_x - x, end_y - y)).astype(np.float32).reshape(-1, 4)
    return np.asarray(image), moved
