"""Train a version of a model on this machine, from its images to its card."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, TypeAlias

from retinue_sdk import ConfigurationError
from retinue_sdk.training import (
    ShowProgress,
    Split,
    Trainer,
    TrainingOptions,
    TrainingStoppedError,
)

from retinue_cli.data.ground_truth import Problems
from retinue_cli.options.json_flag import Say
from retinue_cli.training.data import TrainingImage
from retinue_cli.training.local import card, check
from retinue_cli.training.local.check import Read
from retinue_cli.training.local.versions import Version, Versions

Kind: TypeAlias = Literal["labels", "objects"]

DETECTORS: Mapping[Kind, str] = {"labels": "onnx-labels", "objects": "onnx-objects"}
"""The detector that runs a model of each kind, and trains it."""


@dataclass(frozen=True, slots=True)
class Data:
    """Checked images.

    Attributes:
        split: Their parts.
        left_out: The number of cases of each problem.
        renamed: The number of labels that are read as others, by reason.
        unconfirmed: Number of images with findings of a detector that no person confirmed.
    """

    split: Split
    left_out: Mapping[str, int]
    renamed: Mapping[str, int]
    unconfirmed: int


def prepare(
    learned: Sequence[TrainingImage],
    tested: Sequence[TrainingImage] | None,
    read: Read,
    problems: Problems,
    say: Say,
    *,
    boxes: bool,
    strict: bool,
    advance: Callable[[int], None],
) -> Data:
    """Check and split images. Report omitted ones, and labels that are read as others.

    Args:
        learned: The images to learn from.
        tested: The images to test with; ``None`` to take a fifth of ``learned``.
        read: Reads their files.
        problems: The problems that were found so far.
        say: Prints a line.
        boxes: Whether each thing needs a box.
        strict: Whether to refuse any problem.
        advance: Called for each image.

    Raises:
        ConfigurationError: Too little is left, or there is a problem and ``strict`` is set.
    """
    renamed = Problems()
    seen = [check.look(part, read, problems, advance=advance) for part in (learned, tested or ())]
    check.unify_case([*seen[0], *seen[1]], renamed)
    known = [check.clean(part, problems, boxes=boxes) for part in seen]
    parts = check.split(known[0], None if tested is None else known[1], problems)
    told = [
        f"{what}:\n{found}"
        for what, found in (("left out", problems), ("renamed", renamed))
        if found
    ]
    if told and strict:
        raise ConfigurationError("\n".join(["nothing was trained (--strict)", *told]))
    for paragraph in told:
        say(paragraph)
    split = check.examples(parts, read)
    if not split.labels:
        raise ConfigurationError(
            f"no label has {check.MIN_IMAGES} usable images, so there is nothing to train"
        )
    used = [one for part in parts.named.values() for one in part]
    unconfirmed = sum(not one.image.is_human for one in used)
    if unconfirmed:
        say(
            f"note: {unconfirmed:,} of {len(used):,} images have a detector's unconfirmed "
            "findings, and the accuracy is measured against them"
        )
    return Data(split, problems.counts, renamed.counts, unconfirmed)


def train(
    versions: Versions,
    trainer: Trainer,
    kind: Kind,
    data: Data,
    options: TrainingOptions,
    origin: Mapping[str, Any],
    progress: ShowProgress,
    say: Say,
) -> Version:
    """Train a version, unless there is one of the same data and settings.

    Raises:
        ConfigurationError: The data or an option can't work.
        KeyboardInterrupt: It was stopped before there was a model.
    """
    facts = card.data_facts(data.split)
    settings = {
        "seed": options.seed,
        "epochs": options.epochs,
        "patience": options.patience,
        "crops": options.crops,
    }
    base = dict(trainer.base)
    identity = card.digest([facts["sha256"], kind, settings, base])
    finished = versions.all()
    if finished:
        last = finished[-1]
        since = card.changes(last.card["data"], facts)
        say(
            f"images since {last.name}: {since['new']:,} new, {since['gone']:,} removed, "
            f"{since['changed']:,} annotated otherwise; {since['negative']:,} of them show none "
            "of the labels"
        )
    for version in finished:
        if version.card["identity"] == identity and version.card["stopped"] != "interrupted":
            say(f"{version.name} was trained from the same data and settings")
            return version
    with _stop_on_ctrl_c(say) as stop:
        try:
            trained = trainer.train(
                data.split, options, cache=versions.cache, progress=progress, stop=stop
            )
        except TrainingStoppedError:
            say("stopped before there was a model; run the same command to continue")
            raise KeyboardInterrupt from None
        about = {
            "kind": kind,
            "identity": identity,
            "origin": dict(origin),
            "settings": settings,
            "base": base,
            **card.result_facts(trained),
            "left_out": dict(data.left_out),
            "renamed": dict(data.renamed),
            "unconfirmed_images": data.unconfirmed,
            "data": facts,
        }
        version = versions.add(
            trained.model, about, lambda folder: card.draw_samples(trained, folder)
        )
    for path in trained.obsolete:
        path.unlink(missing_ok=True)
    return version


@contextmanager
def _stop_on_ctrl_c(say: Say) -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets. The second one ends the command."""
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("stopping; Ctrl-C again ends the command immediately")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
