"""The card of a version: its data, settings and accuracy, so that figures can be recomputed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retinue_sdk import BoundingBox, Detection
from retinue_sdk.accuracy import curves
from retinue_sdk.training import Annotated, ClassScore, Split, Trained

SAMPLES = 6
"""Maximum number of pictures of hits, and of misses."""

Card = dict[str, Any]


def data_facts(split: Split) -> Card:
    """Return each image with its part and its annotations, and the digest of them all."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    images = [
        {
            "name": one.name,
            "sha256": one.sha256,
            "part": part,
            "things": [_thing(thing) for thing in one.things],
            **({"absent": [_thing(thing) for thing in one.absent]} if one.absent else {}),
        }
        for part, examples in parts.items()
        for one in examples
    ]
    known = [{key: value for key, value in one.items() if key != "name"} for one in images]
    known.sort(key=lambda one: str(one["sha256"]))
    return {"sha256": digest(known), "images": images}


def digest(value: Any) -> str:
    """Return the SHA-256 of a value in JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def result_facts(trained: Trained) -> Card:
    """Return the accuracy, and the answers from which it is computed."""
    return {
        "f1": round(trained.f1, 6),
        "epochs": trained.epochs,
        "stopped": trained.stopped,
        "training": dict(trained.facts),
        "labels": [_score(score) for score in trained.scores],
        "answers": [
            {
                "name": answer.example.name,
                "sha256": answer.example.sha256,
                "true": [_thing(thing) for thing in answer.true],
                "found": [
                    {**_thing(thing), "confidence": confidence}
                    for thing, confidence in answer.found
                ],
                "is_right": answer.is_right,
            }
            for answer in trained.answers
        ],
    }


def recomputed(card: Mapping[str, Any]) -> list[ClassScore]:
    """Return the accuracy for each label, from a card's answers and thresholds alone."""
    answers = [
        (
            [(_annotated(one), float(one["confidence"])) for one in answer["found"]],
            [_annotated(one) for one in answer["true"]],
        )
        for answer in card["answers"]
    ]
    thresholds = {one["label"]: float(one["threshold"]) for one in card["labels"]}
    found = curves(thresholds, answers)
    return [found[label].score(label, least) for label, least in thresholds.items()]


def is_consistent(card: Mapping[str, Any]) -> bool:
    """Return whether the accuracy in a card is that of its answers."""
    scores = recomputed(card)
    f1 = [one.f1 for one in scores if one.f1 is not None]
    mean = round(sum(f1) / len(f1), 6) if f1 else 0.0
    facts = {"f1": mean, "labels": [_score(one) for one in scores]}
    return all(card[name] == value for name, value in facts.items())


def _annotated(thing: Mapping[str, Any]) -> Annotated:
    return Annotated(thing["label"], BoundingBox(*thing["box"]) if "box" in thing else None)


def _score(score: ClassScore) -> Card:
    derived = {name: getattr(score, name) for name in ("precision", "recall", "f1")}
    return {**asdict(score), **derived}


def _thing(thing: Annotated) -> Card:
    box = thing.box
    if box is None:
        return {"label": thing.label}
    return {"label": thing.label, "box": [box.left, box.top, box.width, box.height]}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of images that are new, gone or annotated otherwise since a version.

    Args:
        old: The data of the earlier version's card.
        new: The data now.
    """
    before = {one["sha256"]: _annotations(one) for one in old["images"]}
    added = [one for one in new["images"] if one["sha256"] not in before]
    changed = [
        one
        for one in new["images"]
        if one["sha256"] in before and _annotations(one) != before[one["sha256"]]
    ]
    now = {one["sha256"] for one in new["images"]}
    return {
        "new": len(added),
        "gone": len(before.keys() - now),
        "changed": len(changed),
        "negative": sum(not one["things"] for one in (*added, *changed)),
    }


def _annotations(image: Mapping[str, Any]) -> tuple[Any, Any]:
    return image["things"], image.get("absent")


def draw_samples(trained: Trained, folder: Path) -> None:
    """Draw some right and some wrong answers: each picture with the findings at the thresholds."""
    from retinue_cli.output.draw import paint_pixels

    least = {one.label: one.threshold for one in trained.scores}
    for kind, is_right in (("hit", True), ("miss", False)):
        chosen = [answer for answer in trained.answers if answer.is_right == is_right][:SAMPLES]
        for number, answer in enumerate(chosen, 1):
            found = [
                Detection("label", thing.label, confidence, thing.box)
                for thing, confidence in answer.found
                if confidence >= least[thing.label]
            ]
            folder.mkdir(exist_ok=True)
            picture = paint_pixels(answer.example.load().pixels(), found)
            picture.save(folder / f"{kind}-{number}.jpg", "JPEG", quality=88)
