"""Features of images and of boxes in them, from several views, kept in files."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from retinue_sdk import BoundingBox, Image, Pixels
from retinue_sdk.cores import usable_cores
from retinue_sdk.training import Example, TrainingStoppedError

from retinue_onnx.boxes import inside
from retinue_onnx.candidates import Floats
from retinue_onnx.efficientnet import EfficientNet
from retinue_onnx.session import OnnxSession
from retinue_onnx.training.kept import keep

VIEWS = 5
"""Views of each training image: as it is, mirrored, and cut and lit at random."""

VERSION = 2
"""Changes with this code, so that features that an earlier one kept aren't used."""

LEAST_SIDE = 0.7
"""Smallest share of an image's width and height that a random cut keeps."""

LIGHT = 0.2
"""Largest relative change of brightness and of contrast."""

SIZE = 1_280
"""Number of features (efficientnet.py)."""

Random: TypeAlias = np.random.Generator


@dataclass(frozen=True, slots=True)
class Sample:
    """An image, or a box in it, of which the network computes features.

    Attributes:
        example: The image.
        labels: The labels of the image or of the box.
        box: The box; ``None`` for the whole image.
    """

    example: Example
    labels: frozenset[str]
    box: BoundingBox | None = None


def samples(examples: Sequence[Example], *, crops: bool) -> list[Sample]:
    """Return a sample for each image, or with ``crops`` for each box in it.

    Boxes that people rejected have no label.
    """
    if not crops:
        return [Sample(one, frozenset(thing.label for thing in one.things)) for one in examples]
    return [
        Sample(one, frozenset(labels), thing.box)
        for one in examples
        for things, is_there in ((one.things, True), (one.absent, False))
        for thing in things
        for labels in ([thing.label] if is_there else [],)
        if thing.box is not None
    ]


class Features:
    """Computes features, and keeps them in files, so that a killed training need not repeat them.

    Args:
        model: The network's file.
        sha256: Its hash.
        folder: The folder of the files.
        seed: Seed of the random views.
    """

    def __init__(self, model: bytes, sha256: str, folder: Path, seed: int) -> None:
        self._session = OnnxSession(model, threads=1)
        self._network = EfficientNet()
        self._sha256 = sha256
        self._folder = folder
        self._seed = seed
        folder.mkdir(parents=True, exist_ok=True)

    def of(
        self,
        wanted: Sequence[Sample],
        *,
        views: int,
        advance: Callable[[], None],
        stop: threading.Event,
    ) -> Floats:
        """Return the features, shape (samples, views, 1280), in a temporary file.

        Raises:
            TrainingStoppedError: ``stop`` was set.
            InvalidImageError: An image can't be read.
        """
        with tempfile.TemporaryFile(dir=self._folder) as file:
            shape = (len(wanted), views, SIZE)
            features = np.memmap(file, np.float32, mode="w+", shape=shape)
        cores = usable_cores()
        with ThreadPoolExecutor(cores, thread_name_prefix="features") as threads:
            for batch in _batches(range(len(wanted)), 8 * cores):
                if stop.is_set():
                    raise TrainingStoppedError
                found = threads.map(lambda i: self._of(wanted[i], views), batch)
                for index, one in zip(batch, found, strict=True):
                    features[index] = one
                    advance()
        return features

    def _of(self, sample: Sample, views: int) -> Floats:
        facts = (VERSION, self._sha256, self._seed, views, sample.example.sha256, sample.box)
        [features] = keep(self._folder, "features", facts, lambda: [self._compute(sample, views)])
        return features

    def _compute(self, sample: Sample, views: int) -> Floats:
        image = sample.example.load()
        if sample.box is not None:
            image = Image.from_pixels(np.ascontiguousarray(inside(image.pixels(), sample.box)))
        # Of the file alone, so that neither order nor other images change the views.
        number = int(sample.example.sha256[:16], 16)
        random = np.random.default_rng([self._seed, number])
        # First as the detector sees it, which decodes large JPEGs at a fraction of their size.
        canvases = [self._network.place(image)[0]]
        if views > 1:
            pixels = image.pixels()
            canvases += [self._view(pixels, view, random) for view in range(1, views)]
        _, features = self._session.run(self._network.preprocessing.normalise(np.stack(canvases)))
        return features

    def _view(self, pixels: Pixels, number: int, random: Random) -> Pixels:
        if number > 1:
            pixels = _cut(pixels, random)
        if number == 1 or (number > 1 and random.random() < 0.5):
            pixels = pixels[:, ::-1]
        canvas, place = self._network.place(Image.from_pixels(np.ascontiguousarray(pixels)))
        if number > 1:
            rows = slice(place.top, place.top + place.height)
            columns = slice(place.left, place.left + place.width)
            canvas = canvas.copy()  # it can be read-only
            canvas[rows, columns] = _lit(canvas[rows, columns], random)
        return canvas


def _cut(pixels: Pixels, random: Random) -> Pixels:
    """Return a random rectangle of an image."""
    height, width = pixels.shape[:2]
    shares = random.uniform(LEAST_SIDE, 1, 2)
    rows, columns = max(int(height * shares[0]), 1), max(int(width * shares[1]), 1)
    top = int(random.integers(height - rows + 1))
    left = int(random.integers(width - columns + 1))
    return pixels[top : top + rows, left : left + columns]


def _lit(pixels: Pixels, random: Random) -> Pixels:
    """Return an image with another brightness and contrast."""
    brightness, contrast = random.uniform(1 - LIGHT, 1 + LIGHT, 2)
    values = pixels.astype(np.float32) * np.float32(brightness)
    mean = values.mean()
    return np.asarray(((values - mean) * np.float32(contrast) + mean).clip(0, 255), np.uint8)


def _batches(indices: range, size: int) -> Iterator[range]:
    for first in range(0, len(indices), size):
        yield indices[first : first + size]
