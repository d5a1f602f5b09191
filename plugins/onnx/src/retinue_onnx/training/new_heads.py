"""Train a detector: new heads on the bundled NanoDet's body, which stays as it is."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from retinue_sdk import ConfigurationError, Json
from retinue_sdk.accuracy import LEAST_CONFIDENCE, MIN_IOU, Curve, Found, curves, right, thresholds
from retinue_sdk.cores import usable_cores
from retinue_sdk.training import (
    Annotated,
    Answer,
    Example,
    ShowProgress,
    Split,
    Trained,
    TrainingOptions,
    TrainingProgress,
    TrainingStoppedError,
)
from threadpoolctl import (  # type: ignore[import-untyped]  # it ships no type information
    threadpool_limits,
)

from retinue_onnx.boxes import bounding_boxes
from retinue_onnx.candidates import Candidates, Floats
from retinue_onnx.letterbox import Placement
from retinue_onnx.model_file import ModelFile
from retinue_onnx.preprocessing import Choices
from retinue_onnx.readers.nanodet import NanoDet
from retinue_onnx.recognition import recognised
from retinue_onnx.session import OnnxSession
from retinue_onnx.training.assignment import cells_inside
from retinue_onnx.training.detection_head import Adam, Gradients, forward, gradients_of, sampled
from retinue_onnx.training.kept import read, write
from retinue_onnx.training.metadata import metadata
from retinue_onnx.training.nanodet_body import BINS, SIDE_PX, HeadWeights, NanoDetBody
from retinue_onnx.training.views import GRIDS, VIEWS, Views

BASE = "nanodet.onnx"

BATCH = 4
"""Images of one step."""

RATE = 2e-3
"""Largest step size of Adam."""

WARM_UP = 0.05
"""Share of the steps in which the step size grows from 0."""

IMAGES = 6_000
"""Images that are looked at in all epochs, by which their number is chosen."""

EPOCHS = (12, 100)
"""Minimum and maximum number of epochs, by default."""

PATIENCE = 15
"""Epochs without a better result, by default."""

PRIOR = 0.01
"""Score of every class before the training (https://arxiv.org/abs/1708.02002)."""


@dataclass(slots=True)
class _State:
    """The state of a training.

    Attributes:
        heads: The heads.
        optimisers: One for each head.
        best: The heads with the best result.
        best_precision: Their mean average precision on the validation part.
        best_epoch: The last epoch with this result.
        improved_epoch: The first epoch with this result.
        epoch: Number of finished epochs.
        steps: Number of finished steps.
    """

    heads: list[HeadWeights]
    optimisers: list[Adam]
    best: list[HeadWeights] = field(default_factory=list)
    best_precision: float = -1.0
    best_epoch: int = 0
    improved_epoch: int = 0
    epoch: int = 0
    steps: int = 0

    def save(self, path: Path) -> None:
        """Write everything, atomically."""
        numbers = [
            self.best_precision,
            self.best_epoch,
            self.improved_epoch,
            self.epoch,
            self.steps,
        ]
        arrays = [one for head in self._arrays() for one in head]
        write(path, [np.array(numbers, float), *arrays])

    def restore(self, path: Path) -> None:
        """Restore the state from the file, if it exists and is complete."""
        kept = read(path)
        if kept is None:
            return
        numbers, *arrays = kept
        self.best = [head.copy() for head in self.heads]
        for optimiser, head in zip(self.optimisers, self.heads, strict=True):
            optimiser.begin(head.arrays)
            optimiser.steps = int(numbers[4])
        targets = [one for head in self._arrays() for one in head]
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array
        self.best_precision = float(numbers[0])
        self.best_epoch, self.improved_epoch, self.epoch, self.steps = map(int, numbers[1:])

    def _arrays(self) -> list[Sequence[Floats]]:
        """Return the arrays of all weights and of the optimisers."""
        return [
            *(head.arrays for head in self.heads),
            *(head.arrays for head in self.best),
            *(one.first for one in self.optimisers),
            *(one.second for one in self.optimisers),
        ]


class NewHeads:
    """Trains detectors for ``onnx-objects``."""

    @property
    def base(self) -> Mapping[str, Json]:
        """Return the network's name, hash and licence, and the version of this code."""
        return {
            "name": "NanoDet-g",
            "sha256": ModelFile.find(None, bundled=BASE).sha256,
            "licence": "Apache-2.0",
            "trainer": "new heads",
            "version": "2",
        }

    def train(
        self,
        split: Split,
        options: TrainingOptions,
        *,
        cache: Path,
        progress: ShowProgress,
        stop: threading.Event,
    ) -> Trained:
        """Train a detector of boxes."""
        _check(split)
        # One thread for each image is faster than several for each product, which is small.
        with (
            threadpool_limits(1, "blas"),
            ThreadPoolExecutor(usable_cores(), thread_name_prefix="heads") as threads,
        ):
            run = _Run(split, options, cache, progress, stop, threads)
            stopped = run.fit()
            return run.result(stopped)


class _Run:
    """One training.

    Args:
        split: The data.
        options: The settings.
        cache: The folder of features and of the state.
        progress: Called after each step.
        stop: Ends the training.
        threads: Threads that process images.
    """

    def __init__(
        self,
        split: Split,
        options: TrainingOptions,
        cache: Path,
        progress: ShowProgress,
        stop: threading.Event,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._split, self._options = split, options
        self._progress, self._stop, self._threads = progress, stop, threads
        self._labels = split.labels
        self._body = NanoDetBody(ModelFile.find(None, bundled=BASE).read())
        self._views = Views(self._body, cache, self._labels, options.seed)
        low, high = EPOCHS
        fitting = min(max(IMAGES // max(len(split.train), 1), low), high)
        self._epochs = options.epochs or fitting
        self._patience = options.patience or PATIENCE
        self._path = cache / f"state-{self._key()}.npz"
        heads = _new_heads(self._body, len(self._labels), options.seed)
        self._state = _State(heads, [Adam() for _ in heads])

    def fit(self) -> str:
        """Train, and return why it ended.

        Raises:
            TrainingStoppedError: It was stopped before the first epoch ended.
        """
        state = self._state
        state.restore(self._path)
        try:
            self._prepare()
            while state.epoch < self._epochs:
                if state.best and state.epoch - state.improved_epoch >= self._patience:
                    return "patience"
                self._epoch()
                state.save(self._path)
        except TrainingStoppedError:
            if not state.best:
                raise
            return "interrupted"
        return "epochs"

    def _prepare(self) -> None:
        """Compute all features.

        Raises:
            TrainingStoppedError: It was stopped.
        """
        parts = [(one, view) for one in self._split.train for view in range(VIEWS)]
        parts += [(one, 0) for one in self._split.validation]
        done = 0
        for first in range(0, len(parts), 4 * BATCH):
            if self._stop.is_set():
                raise TrainingStoppedError
            for _ in self._threads.map(
                lambda one: self._views.of(*one), parts[first : first + 4 * BATCH]
            ):
                done += 1
                self._progress(TrainingProgress("features", done, len(parts)))

    def _epoch(self) -> None:
        """Train on each image once, and keep the heads if they are the best.

        Raises:
            TrainingStoppedError: It was stopped before all images were used.
        """
        state, train = self._state, self._split.train
        order = self._random().permutation(len(train))
        loss, positives = 0.0, 0
        for first in range(0, len(order), BATCH):
            if self._stop.is_set():
                raise TrainingStoppedError
            learned = list(self._threads.map(self._learn, order[first : first + BATCH]))
            objects = sum(one.positives for heads in learned for one in heads)
            for number, (head, optimiser) in enumerate(
                zip(state.heads, state.optimisers, strict=True)
            ):
                arrays = zip(*(heads[number].arrays for heads in learned), strict=True)
                gradients = [sum(one) / np.float32(max(objects, 1)) for one in arrays]
                optimiser.step(head.arrays, gradients, self._rate())
            state.steps += 1
            loss += sum(one.loss for heads in learned for one in heads)
            positives += objects
        state.epoch += 1
        found = list(self._curves().values())
        precision = float(np.mean([one.average_precision() or 0.0 for one in found]))
        if precision > state.best_precision:
            state.improved_epoch = state.epoch
        if precision >= state.best_precision:
            state.best = [head.copy() for head in state.heads]
            state.best_precision, state.best_epoch = precision, state.epoch
        f1 = float(np.mean([one.best_f1() for one in found]))
        self._progress(
            TrainingProgress("epochs", state.epoch, self._epochs, loss / max(positives, 1), f1)
        )

    def _learn(self, index: int) -> list[Gradients]:
        """Return the gradients of each head for a random view of a training image."""
        random = self._random(index)
        view = self._views.of(self._split.train[index], int(random.integers(VIEWS)))
        slope = self._body.slope
        learned = []
        for head, features, targets, grid in zip(
            self._state.heads, view.features, view.targets, GRIDS, strict=True
        ):
            cells = sampled(targets, cells_inside(view.absent, grid), grid.cells, random)
            outputs = forward(head, features, slope, cells)
            learned.append(gradients_of(head, outputs, targets, slope))
        return learned

    def _random(self, *more: int) -> np.random.Generator:
        """Return the random generator of this epoch, for one image or for all."""
        return np.random.default_rng([self._options.seed, self._state.epoch, *more])

    def _rate(self) -> float:
        """Return the step size: it grows, then falls to 0 along a cosine."""
        steps = self._epochs * -(-len(self._split.train) // BATCH)
        done = self._state.steps / steps
        warm = min(1.0, (self._state.steps + 1) / (WARM_UP * steps))
        return float(RATE * warm * (1 + np.cos(np.pi * done)) / 2)

    def _curves(self) -> dict[str, Curve]:
        """Return the curves of the present heads on the validation part, from kept features."""
        answers = self._threads.map(self._answer_from_features, self._split.validation)
        return curves(self._labels, answers)

    def _answer_from_features(self, example: Example) -> tuple[Found, Sequence[Annotated]]:
        view = self._views.of(example, 0)
        reader = NanoDet(len(self._labels), GRIDS, ((0, 1), (2, 3), (4, 5)))
        arrays = []
        for head, features in zip(self._state.heads, view.features, strict=True):
            outputs = forward(head, features, self._body.slope)
            arrays += [outputs.scores[None], outputs.bins[None]]
        whole = Placement(0, 0, SIDE_PX, SIDE_PX)
        true = Candidates.of(view.boxes, np.ones(len(view.boxes), np.float32), view.classes)
        things = [one for one, _ in self._found(true, whole)]
        return self._found(reader.read_one(arrays, 0, LEAST_CONFIDENCE), whole), things

    def _found(self, candidates: Candidates, placement: Placement) -> Found:
        boxes = bounding_boxes(candidates, placement)
        return [
            (Annotated(self._labels[int(number)], box), min(float(score), 1.0))
            for number, box, score in zip(candidates.classes, boxes, candidates.scores, strict=True)
        ]

    def result(self, stopped: str) -> Trained:
        """Export the best heads, and measure them as the detector will use them."""
        state = self._state
        untuned = self._body.with_heads(state.best, metadata(self._options, self._labels, ()))
        validated = curves(self._labels, self._answers(untuned, self._split.validation))
        least = thresholds(validated)
        answers = self._answers(untuned, self._split.test)
        tested = curves(self._labels, answers)
        scores = tuple(tested[label].score(label, least[label]) for label in self._labels)
        return Trained(
            self._body.with_heads(state.best, metadata(self._options, self._labels, scores)),
            scores,
            tuple(
                _answer(example, found, least)
                for example, (found, _) in zip(self._split.test, answers, strict=True)
            ),
            state.epoch,
            stopped,
            {
                "best_epoch": state.best_epoch,
                "validation_average_precision": round(state.best_precision, 6),
                "views": VIEWS,
                "iou": MIN_IOU,
            },
            () if stopped == "interrupted" else (self._path, *self._views.files()),
        )

    def _answers(
        self, model: bytes, examples: Sequence[Example]
    ) -> list[tuple[Found, Sequence[Annotated]]]:
        """Return findings and true things of images, found by a whole network."""
        session = OnnxSession(model)
        layout = recognised(session, Choices(), layout=NanoDet.name, labels=self._labels)
        answers: list[tuple[Found, Sequence[Annotated]]] = []
        for done, example in enumerate(examples, start=1):
            canvas, placement = layout.place(example.load())
            outputs = session.run(layout.preprocessing.normalise(canvas[None]))
            [found] = layout.read(outputs, 1, LEAST_CONFIDENCE)
            answers.append((self._found(found, placement), example.things))
            self._progress(TrainingProgress("test", done, len(examples)))
        return answers

    def _key(self) -> str:
        """Return a hash of everything that determines the training."""
        facts = {
            "base": dict(NewHeads().base),
            "options": repr((self._options.seed, self._epochs, self._patience)),
            "labels": self._labels,
            "data": [
                [(one.sha256, repr(one.things), repr(one.absent)) for one in part]
                for part in (self._split.train, self._split.validation)
            ],
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _new_heads(body: NanoDetBody, classes: int, seed: int) -> list[HeadWeights]:
    """Return the bundled heads with new classes instead of COCO's."""
    random = np.random.default_rng(seed)
    heads = body.heads()
    for head in heads:
        scores = random.normal(0, 0.01, (len(head.out), classes)).astype(np.float32)
        prior = np.full(classes, np.log(PRIOR / (1 - PRIOR)), np.float32)
        head.out = np.concatenate([scores, head.out[:, -4 * BINS :]], axis=1)
        head.out_bias = np.concatenate([prior, head.out_bias[-4 * BINS :]])
    return heads


def _answer(example: Example, found: Found, least: Mapping[str, float]) -> Answer:
    reported = [one for one in found if one[1] >= least[one[0].label]]
    is_right = all(right(reported, example.things)) and len(reported) == len(example.things)
    return Answer(example, tuple(found), example.things, is_right)


def _check(split: Split) -> None:
    """Raise ``ConfigurationError`` unless there are boxes, for every thing."""
    parts: list[Any] = [*split.train, *split.validation, *split.test]
    bare = [one.name for one in parts if any(thing.box is None for thing in one.things)]
    if bare:
        raise ConfigurationError(
            f"a detector learns from boxes, and {len(bare):,} images have things without one, "
            f"such as {bare[0]}: draw them, or train a classifier with --kind labels"
        )
    if not split.labels:
        raise ConfigurationError("a detector needs things to learn, and no image has any")
