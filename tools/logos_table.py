"""Print the accuracy of detectors of logos: ``python -m tools.logos_table FOLDER``.

For each number of composites and each seed, make composites, train with ``retinue models train``,
and read the accuracy from the card. Finished trainings in FOLDER are not repeated, and an
interrupted one continues.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_sdk import BoundingBox, Findings
from retinue_sdk import Image as SdkImage
from retinue_sdk.accuracy import LEAST_CONFIDENCE, Found, curves
from retinue_sdk.training import Annotated
from skimage.feature import match_template, peak_local_max

from tools.composites import LOGO_SHARE
from tools.logos import fetch_logos, photographs, write_parts

RETINUE = Path(sys.executable).parent / "retinue"

TEMPLATE_SIDE_PX = 240
"""Longer side of a picture in which templates are looked for."""

TEMPLATE_SIZES = 6
"""Sizes in which each logo is looked for, from the smallest to the largest that occur."""

MIN_CORRELATION = 0.4
"""Matches below aren't counted."""

Things = Sequence[Annotated]


def main() -> None:
    """Print a Markdown table: mean and range of the seeds."""
    parser = argparse.ArgumentParser(prog="python -m tools.logos_table", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-logo", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    logos, others = fetch_logos()
    rows: list[tuple[str, list[tuple[float, float]]]] = []
    for per_logo in options.per_logo:
        scores = []
        for seed in options.seeds:
            home = options.folder / f"{per_logo}-{seed}"
            if not (home / "test.json").exists():
                write_parts(home, photographs(), logos, others, per_logo=per_logo, seed=seed)
            scores.append(_trained(home, seed))
        rows.append((f"trained with {per_logo} composites of each logo", scores))
    homes = [options.folder / f"{options.per_logo[0]}-{seed}" for seed in options.seeds]
    rows.append(("template matching", [_template_matching(home, logos) for home in homes]))
    rows.append(
        ("the bundled model, any object as the right logo", [_bundled(one) for one in homes])
    )
    print("| synthetic composites | AP | F1 |\n|---|---|---|")  # noqa: T201
    for name, scores in rows:
        print(f"| {name} | {_range(scores, 0)} | {_range(scores, 1)} |")  # noqa: T201


def _range(scores: Sequence[tuple[float, float]], column: int) -> str:
    values = [one[column] for one in scores]
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _trained(home: Path, seed: int) -> tuple[float, float]:
    """Train a version, unless it exists, and return its mean AP and F1 score."""
    card = home / "models/logos/1/card.json"
    if not card.exists():
        command: list[str | Path] = [RETINUE, "models", "train", "logos", "--on", "local"]
        command += ["--kind", "objects", "--from", home / "train.json", "--test"]
        command += [home / "test.json", "--models", home / "models", "--seed", str(seed)]
        subprocess.run(command, check=True)  # noqa: S603 - ours
    labels = json.loads(card.read_text("utf-8"))["labels"]
    precision, f1 = ([float(one[key]) for one in labels] for key in ("average_precision", "f1"))
    return float(np.mean(precision)), float(np.mean(f1))


def _template_matching(home: Path, logos: Mapping[str, Image.Image]) -> tuple[float, float]:
    """Return mean AP and F1 score, at the thresholds that are best for these very pictures."""
    templates = {
        (label, side): _grey(logo, side)
        for label, logo in logos.items()
        for side in np.geomspace(*LOGO_SHARE, TEMPLATE_SIZES) * TEMPLATE_SIDE_PX
    }
    answers = []
    for path, things in _tests(home):
        picture = Image.open(path).convert("L")
        picture.thumbnail((TEMPLATE_SIDE_PX, TEMPLATE_SIDE_PX))
        pixels = np.asarray(picture, np.float32)
        found: list[tuple[Annotated, float]] = []
        for (label, _), template in templates.items():
            height, width = template.shape
            if height >= pixels.shape[0] or width >= pixels.shape[1]:
                continue
            match = match_template(pixels, template)  # type: ignore[no-untyped-call]
            peaks = peak_local_max(  # type: ignore[no-untyped-call]
                match,
                min_distance=5,
                threshold_abs=MIN_CORRELATION,
                num_peaks=3,
                exclude_border=False,
            )
            for top, left in peaks:
                edges = float(left), float(top), float(left + width), float(top + height)
                box = BoundingBox.from_edges(*edges, width=picture.width, height=picture.height)
                found.append((Annotated(label, box), float(match[top, left])))
        answers.append((_best(found), things))
    return _accuracy(logos, answers)


def _grey(logo: Image.Image, side: float) -> npt.NDArray[np.float32]:
    """Return a logo in grey, on grey."""
    scale = side / max(logo.size)
    small = logo.resize((max(round(logo.width * scale), 8), max(round(logo.height * scale), 8)))
    ground = Image.new("RGBA", small.size, "grey")
    return np.asarray(Image.alpha_composite(ground, small).convert("L"), np.float32)


def _best(found: Sequence[tuple[Annotated, float]]) -> Found:
    """Return findings, best first, without those that overlap a better one of their label."""
    kept: list[tuple[Annotated, float]] = []
    for one, confidence in sorted(found, key=lambda item: -item[1]):
        if not any(one.label == other.label and _iou(one, other) > 0.3 for other, _ in kept):
            kept.append((one, confidence))
    return kept


def _iou(one: Annotated, other: Annotated) -> float:
    return one.box.iou(other.box) if one.box is not None and other.box is not None else 0.0


def _bundled(home: Path) -> tuple[float, float]:
    """Return mean AP and F1 score of the bundled model's boxes, with the best label for each."""
    detector = ObjectDetector(ObjectOptions(threshold=LEAST_CONFIDENCE))
    detector.start()
    answers = []
    for path, things in _tests(home):
        [result] = detector.detect([SdkImage.from_file(path)])
        found = []
        for one in result.detections if isinstance(result, Findings) else ():
            as_found = Annotated("", one.box)
            nearest = max(things, key=lambda thing: _iou(thing, as_found), default=None)
            if nearest is not None:
                found.append((Annotated(nearest.label, one.box), one.confidence))
        answers.append((found, things))
    detector.close()
    return _accuracy(sorted({one.label for _, things in answers for one in things}), answers)


def _accuracy(labels: Any, answers: Sequence[tuple[Found, Things]]) -> tuple[float, float]:
    found = curves(labels, answers).values()
    precision = [one.average_precision() or 0.0 for one in found]
    return float(np.mean(precision)), float(np.mean([one.best_f1() for one in found]))


def _tests(home: Path) -> list[tuple[Path, Things]]:
    """Return the pictures of the test part with their logos."""
    coco = json.loads((home / "test.json").read_text("utf-8"))
    labels = {one["id"]: one["name"] for one in coco["categories"]}
    things: dict[int, list[Annotated]] = {one["id"]: [] for one in coco["images"]}
    sizes = {one["id"]: (one["width"], one["height"]) for one in coco["images"]}
    for one in coco["annotations"]:
        left, top, width, height = one["bbox"]
        across, down = sizes[one["image_id"]]
        box = BoundingBox(left / across, top / down, width / across, height / down)
        things[one["image_id"]].append(Annotated(labels[one["category_id"]], box))
    return [(home / one["file_name"], things[one["id"]]) for one in coco["images"]]


if __name__ == "__main__":
    main()
