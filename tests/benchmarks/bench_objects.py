"""Measure precision and recall of onnx-objects: ``make bench BENCHMARKS=objects``.

Writes benchmarks/objects.json, and its table into plugins/onnx/README.md. Downloads the npm
packages whose photographs objects.json annotates (70 MB), or takes them from ``--source``. A
detection is right if its box overlaps an annotation of its label by at least 0.5.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from unittest import mock

from retinue_onnx import suppression
from retinue_onnx.objects import DEFAULT_THRESHOLD, ObjectDetector, ObjectOptions
from retinue_sdk import BoundingBox, Detection, Image

from benchmarks.page import with_tables

ANNOTATIONS = Path(__file__).with_name("objects.json")
FIGURES = Path("benchmarks/objects.json")
PAGE = Path(__file__).parents[2] / "plugins" / "onnx" / "README.md"
MIN_IOU = 0.5
LEAST = 0.2
"""Threshold of the detector. The thresholds to compare are higher."""


@dataclass(frozen=True)
class Photograph:
    """A photograph with its annotations.

    Attributes:
        name: Its name in the file.
        objects: Labels and boxes.
        ignored: Regions in which detections of a label aren't counted.
    """

    name: str
    objects: Sequence[tuple[str, BoundingBox]]
    ignored: Sequence[tuple[str, BoundingBox]]


def photographs() -> list[Photograph]:
    """Return the annotated photographs."""
    file = json.loads(ANNOTATIONS.read_text(encoding="utf-8"))
    labels = {category["id"]: category["name"] for category in file["categories"]}
    found = []
    for image in file["images"]:
        kinds: tuple[list[Any], list[Any]] = [], []
        for one in file["annotations"]:
            if one["image_id"] == image["id"]:
                left, top, width, height = one["bbox"]
                box = BoundingBox(
                    left / image["width"], top / image["height"],
                    width / image["width"], height / image["height"],
                )  # fmt: skip
                kinds[one["iscrowd"]].append((labels[one["category_id"]], box))
        found.append(Photograph(image["file_name"], *kinds))
    return found


@contextmanager
def packages(source: Path | None) -> Iterator[Path]:
    """Yield a folder with the unpacked npm packages."""
    names = {PurePosixPath(one.name).parts[1] for one in photographs() if one.name[:4] == "npm/"}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        for name in sorted(names):
            archive = (source or target) / f"{name}.tgz"
            if not archive.exists():
                package, _, version = name.rpartition("-")
                package = package.replace("vladmandic-", "@vladmandic/")
                wanted = ["npm", "pack", "--silent", f"{package}@{version}"]
                subprocess.run(wanted, cwd=archive.parent, check=True, stdout=subprocess.DEVNULL)
            (target / name).mkdir()
            subprocess.run(["tar", "xzf", archive.absolute(), "-C", target / name], check=True)
        yield target


def path_of(name: str, unpacked: Path) -> Path:
    """Return the path of a photograph."""
    kind, package, *rest = PurePosixPath(name).parts
    if kind == "npm":
        return unpacked.joinpath(package, "package", *rest)
    return Path(str(resources.files(package))).joinpath(*rest)


Found = Mapping[str, Sequence[Detection]]


def look(unpacked: Path, max_iou_of_classes: float) -> Found:
    """Return what the detector finds in each photograph."""
    with mock.patch.object(suppression, "MAX_IOU_OF_CLASSES", max_iou_of_classes):
        detector = ObjectDetector(ObjectOptions(threshold=LEAST))
        detector.start()
        found = {}
        for one in photographs():
            [result] = detector.detect([Image.from_file(path_of(one.name, unpacked))])
            found[one.name] = result.detections
        detector.close()
        return found


def count(found: Found, threshold: Callable[[str], float]) -> dict[str, int]:
    """Return the numbers of right and wrong detections, and of objects."""
    right = wrong = objects = 0
    for one in photographs():
        left = list(one.objects)
        objects += len(left)
        for detection in found[one.name]:
            if detection.box is None or detection.confidence < threshold(detection.label):
                continue
            box = detection.box.clipped()
            rivals = [(box.iou(place), (label, place)) for label, place in left
                      if label == detection.label]  # fmt: skip
            iou, best = max(rivals, key=lambda rival: rival[0], default=(0.0, None))
            if best is not None and iou >= MIN_IOU:
                left.remove(best)
                right += 1
            elif not any(
                label == detection.label and _shared(box, place) >= 0.5 * box.area
                for label, place in one.ignored
            ):
                wrong += 1
    return {"right": right, "wrong": wrong, "objects": objects}


def _shared(one: BoundingBox, other: BoundingBox) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a table of plugins/onnx/README.md."""
    lines = [
        "| `threshold` | overlap of labels | right | wrong | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    by_threshold: dict[tuple[float, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_threshold.setdefault((row["others"], -row["people"]), []).append(row)
    for (others, people), alternatives in sorted(by_threshold.items()):
        name = f"{others:g}" if others == -people else f"{others:g}, people {-people:g}"
        name += " (default)" if others == -people == DEFAULT_THRESHOLD else ""
        is_same = len({(row["right"], row["wrong"]) for row in alternatives}) == 1
        lines += [
            f"| {name} | {'either' if is_same else row['overlap']} | {row['right']} "
            f"| {row['wrong']} | {row['precision']:.2f} | {row['recall']:.2f} |"
            for row in (alternatives[:1] if is_same else alternatives)
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="folder with the npm packages")
    rows = []
    with packages(parser.parse_args().source) as unpacked:
        for overlap in (0.9, 0.8):
            found = look(unpacked, overlap)
            for people, others in (
                (0.35, 0.35), (0.4, 0.4), (0.45, 0.45), (0.5, 0.5), (0.4, 0.45), (0.4, 0.5),
            ):  # fmt: skip
                counted = count(
                    found, lambda label, p=people, o=others: p if label == "person" else o
                )
                precision = counted["right"] / (counted["right"] + counted["wrong"])
                recall = counted["right"] / counted["objects"]
                rows.append(
                    {"overlap": overlap, "people": people, "others": others, **counted,
                     "precision": round(precision, 3), "recall": round(recall, 3)}
                )  # fmt: skip
    for row in rows:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({"photographs": len(photographs()), "rows": rows}, indent=1))
    page = with_tables(PAGE.read_text("utf-8"), {"objects": table(rows)})
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
