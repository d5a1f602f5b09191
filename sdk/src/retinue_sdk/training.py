"""Train a detector's model on the user's own images.

The command line reads and checks the images, splits them, shows the progress, and writes the
model and its card. A ``Trainer`` only computes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from retinue_sdk.box import BoundingBox
from retinue_sdk.image import Image
from retinue_sdk.json_value import Json


@dataclass(frozen=True, slots=True)
class Annotated:
    """A labelled thing in an image.

    Attributes:
        label: Its label.
        box: Its box; ``None`` for a label of the whole image.
    """

    label: str
    box: BoundingBox | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """An image to learn from or to test with.

    Attributes:
        name: Its name, for messages and the card.
        sha256: The hash of the file's bytes, 64 hex digits. Equal files have equal hashes.
        load: Returns the image. It is read again on each call, so that memory stays bounded.
        things: The labelled things in it. An image without any is a negative example.
        absent: Findings that people rejected.
    """

    name: str
    sha256: str
    load: Callable[[], Image]
    things: tuple[Annotated, ...]
    absent: tuple[Annotated, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a data set. No photograph is in two of them.

    Attributes:
        train: Images that the model learns from.
        validation: Images that end the training and set the thresholds.
        test: Images for the reported metrics, and for nothing else.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the training part, sorted: the model's classes."""
        return tuple(sorted({one.label for example in self.train for one in example.things}))


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The settings of a training. With equal data, they determine the model.

    Attributes:
        name: The name of the model, for its metadata.
        seed: Seed of everything that is random.
        epochs: Maximum number of passes over the training part; ``None`` for the trainer's own.
        patience: Epochs without a better validation loss after which the training ends; ``None``
            for the trainer's own.
        crops: Whether a classifier learns the contents of each box, not the whole image.
    """

    name: str
    seed: int = 0
    epochs: int | None = None
    patience: int | None = None
    crops: bool = False


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The state of a training.

    Attributes:
        stage: The current stage, such as ``features`` or ``epochs``.
        done: Number of finished steps of this stage.
        total: Its number of steps, at most.
        loss: The loss on the validation part.
        f1: The F1 score on the validation part.
    """

    stage: str
    done: int
    total: int
    loss: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The accuracy for one label on the test part, at its threshold.

    Attributes:
        label: The label.
        threshold: The minimum confidence, from the validation part.
        true_positives: Things that were found.
        false_positives: Findings that are wrong.
        false_negatives: Things that were missed.
        average_precision: The area under the precision–recall curve; ``None`` if the test part has
            none of this label.
    """

    label: str
    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    average_precision: float | None = None

    @property
    def precision(self) -> float | None:
        """Return the share of findings that are right; ``None`` without findings."""
        found = self.true_positives + self.false_positives
        return self.true_positives / found if found else None

    @property
    def recall(self) -> float | None:
        """Return the share of things that were found; ``None`` if there are none."""
        true = self.true_positives + self.false_negatives
        return self.true_positives / true if true else None

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall; ``None`` without things."""
        if not self.true_positives + self.false_negatives:
            return None
        wrong = self.false_positives + self.false_negatives
        return 2 * self.true_positives / (2 * self.true_positives + wrong)


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer for one image of the test part.

    Attributes:
        example: The image.
        found: Its findings with their confidence, best first, also those below their thresholds.
        true: The right answer: the image's things, or that in a crop.
        is_right: Whether the findings at their thresholds are all right, and all there is.
    """

    example: Example
    found: tuple[tuple[Annotated, float], ...]
    true: tuple[Annotated, ...]
    is_right: bool


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model.

    Attributes:
        model: The bytes of its ONNX file. Its metadata has the labels and thresholds.
        scores: The accuracy for each label, on the test part.
        answers: The answers for the test part.
        epochs: Number of finished epochs.
        stopped: Why the training ended: ``patience``, ``epochs``, or ``interrupted``.
        facts: Further settings and results for the card.
        obsolete: Files in the cache that aren't needed when the model is kept.
    """

    model: bytes
    scores: tuple[ClassScore, ...]
    answers: tuple[Answer, ...]
    epochs: int
    stopped: str
    facts: Mapping[str, Json] = field(default_factory=dict)
    obsolete: Sequence[Path] = ()

    @property
    def f1(self) -> float:
        """Return the mean F1 score of the labels that the test part has."""
        known = [score.f1 for score in self.scores if score.f1 is not None]
        return sum(known) / len(known) if known else 0.0


ShowProgress: TypeAlias = Callable[[TrainingProgress], None]
"""Called after each step."""


class TrainingStoppedError(Exception):
    """The training was stopped before there was a model worth keeping."""


class Trainer(Protocol):
    """Trains models for one detector."""

    @property
    def base(self) -> Mapping[str, Json]:
        """Return name, hash (``sha256``) and ``licence`` of the network that training starts from.

        Everything that changes the result beside data and options belongs here, such as the
        ``version`` of the trainer.
        """

    def train(
        self,
        split: Split,
        options: TrainingOptions,
        *,
        cache: Path,
        progress: ShowProgress,
        stop: threading.Event,
    ) -> Trained:
        """Train a model. Equal arguments give equal bytes on one machine.

        Args:
            split: The data, already checked: every label is in all parts.
            options: The settings.
            cache: A folder that outlives the call. A killed training continues from what it
                wrote there. Files in it are written atomically.
            progress: Called after each step.
            stop: When it is set, return the best model so far soon.

        Raises:
            ConfigurationError: The data or an option can't work, or a library isn't installed.
            TrainingStoppedError: ``stop`` was set before there was a model.
        """
