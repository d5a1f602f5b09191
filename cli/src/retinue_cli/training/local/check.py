"""Check images to learn from on this machine, and leave out those that would be learned wrongly."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import dhash  # type: ignore[import-untyped]  # it ships no type information
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from retinue_sdk import BoundingBox, Image, RetinueError
from retinue_sdk.cores import usable_cores
from retinue_sdk.training import Annotated, Example, Split

from retinue_cli.data.ground_truth import Problems
from retinue_cli.training.data import TEST_SHARE, Thing, TrainingImage, place

MIN_IMAGES = 5
"""Minimum number of images of a label: one to test with, one to validate with, three to learn."""

VALIDATION_SHARE = 0.16
"""The share of images that end the training and set the thresholds: a fifth of the rest."""

HASH_SIDE = 8
"""A perceptual hash has 2 × 8 × 8 bits."""

NEAR_BITS = 16
"""Maximum number of bits, of 128, in which the hashes of near-duplicates differ.

Of 81 photographs, no two differ in fewer than 36 bits. A copy as a JPEG of quality 60 at a quarter
of the size differs in up to 9, and one without 2 % at two sides in up to 15.
"""

Read: TypeAlias = Callable[[TrainingImage], bytes]
"""Reads an image's file.

Raises:
    OSError: It can't be read.
    RetinueError: It can't be read.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that was read.

    Attributes:
        image: The image, with its hash.
        size_px: Width and height as displayed.
        bits: Its perceptual hash, shape (128,): −1 or 1.
        is_negative: Whether it was annotated as showing nothing.
    """

    image: TrainingImage
    size_px: tuple[int, int]
    bits: npt.NDArray[np.int8]
    is_negative: bool

    @property
    def labels(self) -> set[str]:
        """Return the labels of its things."""
        return {one.label for one in self.image.items}


@dataclass(slots=True)
class Parts:
    """The parts of a data set."""

    train: list[Seen]
    validation: list[Seen]
    test: list[Seen]

    @property
    def named(self) -> dict[str, list[Seen]]:
        """Return the parts by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def look(
    images: Sequence[TrainingImage],
    read: Read,
    problems: Problems,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Seen]:
    """Read and decode images. Unreadable ones are left out.

    Args:
        images: The images. Their ``sha256`` is set.
        read: Reads their files.
        problems: Collects omitted images.
        advance: Called for each image.
    """
    found = []
    cores = usable_cores()
    with ThreadPoolExecutor(2 * cores, thread_name_prefix="check") as threads:
        for image, seen in zip(images, threads.map(lambda i: _look(i, read), images), strict=True):
            advance(1)
            if isinstance(seen, str):
                problems.add("image that cannot be read", f"{image.uri} ({seen})")
            else:
                found.append(seen)
    return found


def _look(image: TrainingImage, read: Read) -> Seen | str:
    """Return the image, or the reason why it can't be read."""
    try:
        data = read(image)
        decoded = Image.from_bytes(data)
        pixels = decoded.pixels()
    except (OSError, RetinueError) as error:
        return str(error)
    if decoded.is_truncated:
        return "the file ends before its picture"
    image.sha256 = hashlib.sha256(data).hexdigest()
    height, width = pixels.shape[:2]
    small = PillowImage.fromarray(pixels).convert("L")
    small = small.resize((HASH_SIDE + 1, HASH_SIDE + 1), PillowImage.Resampling.BOX)
    number = b"".join(
        part.to_bytes(HASH_SIDE * HASH_SIDE // 8)
        for part in dhash.dhash_row_col(list(small.tobytes()), HASH_SIDE)
    )
    bits = np.unpackbits(np.frombuffer(number, np.uint8)).astype(np.int8) * 2 - 1
    return Seen(image, (width, height), bits, not image.items)


def clean(seen: Sequence[Seen], problems: Problems, *, boxes: bool) -> list[Seen]:
    """Return the images whose annotations are right, each picture once.

    Args:
        seen: The images. Corrections replace other copies of their files.
        problems: Collects omitted images.
        boxes: Whether each thing needs a box.
    """
    return _distinct(
        [one for one in seen if _boxes_are_right(one, problems, boxes=boxes)], problems
    )


def _boxes_are_right(seen: Seen, problems: Problems, *, boxes: bool) -> bool:
    image, (width, height) = seen.image, seen.size_px
    for label, box, _ in image.items:
        where = f"{image.uri}: {label}"
        if box is None:
            if boxes:
                problems.add("image in which a thing has no box", where)
                return False
            continue
        if image.size_px not in (None, seen.size_px):
            problems.add(
                "image whose size differs from its annotations",
                f"{image.uri} ({width} × {height} px, not {image.size_px})",
            )
            return False
        left, top, wide, high = box
        if not (left >= -1 and top >= -1 and left + wide <= width + 1 and top + high <= height + 1):
            problems.add("image with a box outside it", f"{where} {list(box)}")
            return False
        if min(wide, high) < 1:
            problems.add("image with an empty box", f"{where} {list(box)}")
            return False
    return True


def unify_case(seen: Sequence[Seen], problems: Problems) -> None:
    """Replace labels that differ from a more frequent one only by case or by spaces around it.

    Args:
        seen: The images of all parts.
        problems: Collects labels that are read as others.
    """
    numbers = Counter(thing.label for one in seen for thing in one.image.items)
    spellings = defaultdict(list)
    for label in sorted(numbers, key=lambda label: (-numbers[label], label)):
        spellings[label.strip().casefold()].append(label)
    renamed = {other: first for first, *others in spellings.values() for other in others}
    for one in seen:
        for thing in one.image.items:
            if thing.label in renamed:
                problems.add(
                    "label that differs from another only by case or spaces",
                    f"{thing.label} as {renamed[thing.label]}",
                )
        for things in (one.image.items, one.image.absent):
            things[:] = [
                thing._replace(label=renamed.get(thing.label, thing.label)) for thing in things
            ]


def _distinct(seen: Sequence[Seen], problems: Problems) -> list[Seen]:
    """Return each file once. One with different annotations is left out altogether."""
    copies: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        copies[one.image.sha256 or ""].append(one)
    kept = []
    for same_file in copies.values():
        first, *others = [one for one in same_file if one.image.is_correction] or same_file
        names = ", ".join(one.image.uri for one in (first, *others))
        if any(_facts(one) != _facts(first) for one in others):
            problems.add("picture that is there more than once, with different annotations", names)
            continue
        for _ in others:
            problems.add("image that is a copy of another", names)
        # A correction doesn't name the photograph, and must stay in its part.
        first.image.photograph = next(
            filter(None, (one.image.photograph for one in same_file)), None
        )
        kept.append(first)
    return kept


def _facts(seen: Seen) -> list[tuple[str, tuple[float, ...]]]:
    return sorted((label, box or ()) for label, box, _ in seen.image.items)


def split(seen: Sequence[Seen], tested: Sequence[Seen] | None, problems: Problems) -> Parts:
    """Return the three parts: every label is in each, and no photograph in two.

    A digest of the image, or of its photograph, decides, so that later versions are tested with the
    same images, and don't learn from them. If a label has no image in a part, the one closest to it
    moves there.

    Args:
        seen: The images.
        tested: The images to test with; ``None`` to take some of ``seen``.
        problems: Collects omitted images.
    """
    everything = [*seen, *(tested or ())]
    _leave_rare_labels(everything, problems)
    ordered = sorted(filter(_is_used, seen), key=lambda one: place(one.image))
    if tested is None:
        number = sum(place(one.image) < TEST_SHARE for one in ordered)
        parts = Parts(ordered[number:], [], ordered[:number])
        _complete(parts.test, parts.train)
    else:
        parts = Parts(ordered, [], [one for one in tested if _is_used(one)])
        _leave_tested_photographs(parts, problems)
    _leave_near_duplicates(parts.train, parts.test, problems)
    _take(parts.validation, parts.train, round(VALIDATION_SHARE * len(ordered)))
    _complete(parts.validation, parts.train)
    _leave_near_duplicates(parts.train, parts.validation, problems)
    _leave_lonely_labels(parts, problems)
    return parts


def _is_used(one: Seen) -> bool:
    """Return whether the image still has a label, or never had one."""
    return one.is_negative or bool(one.image.items)


def _leave_rare_labels(seen: Sequence[Seen], problems: Problems) -> None:
    numbers = Counter(label for one in seen for label in one.labels)
    rare = {label for label, number in numbers.items() if number < MIN_IMAGES}
    for label in sorted(rare):
        problems.add(f"label with fewer than {MIN_IMAGES} images", f"{label} ({numbers[label]})")
    _leave(seen, rare)


def _leave_lonely_labels(parts: Parts, problems: Problems) -> None:
    """Leave out labels that one of the parts lacks, and images that have no other label."""
    labels = {
        name: {label for one in part for label in one.labels} for name, part in parts.named.items()
    }
    lonely = set().union(*labels.values())
    lonely -= {one for one in lonely if all(one in known for known in labels.values())}
    for label in sorted(lonely):
        where = " and ".join(name for name, known in labels.items() if label in known)
        problems.add("label that a part has no image of", f"{label} (only in {where})")
    for part in parts.named.values():
        _leave(part, lonely)
        part[:] = [one for one in part if _is_used(one)]


def _leave(seen: Sequence[Seen], labels: set[str]) -> None:
    for one in seen:
        one.image.items[:] = [thing for thing in one.image.items if thing.label not in labels]


def _leave_tested_photographs(parts: Parts, problems: Problems) -> None:
    """Leave out images of photographs that the test images were made from, too."""
    tested = {one.image.photograph for one in parts.test} - {None}
    for one in parts.train:
        if one.image.photograph in tested:
            where = f"{one.image.uri} ({one.image.photograph})"
            problems.add("image of a photograph that is in the test images", where)
    parts.train[:] = [one for one in parts.train if one.image.photograph not in tested]


def _take(part: list[Seen], rest: list[Seen], wanted: int) -> None:
    """Move about ``wanted`` images from the rest in its order, photograph by photograph."""
    for _, photograph in groupby(list(rest), lambda one: place(one.image)):
        images = list(photograph)
        if len(images) <= 2 * (wanted - len(part)):  # closer to it with them
            _move(images, part, rest)


def _move(images: Sequence[Seen], part: list[Seen], rest: list[Seen]) -> None:
    part.extend(images)
    moved = {id(one) for one in images}
    rest[:] = [one for one in rest if id(one) not in moved]


def _complete(part: list[Seen], rest: list[Seen]) -> None:
    """Move the photograph of each label that the part lacks, from the rest in its order."""
    numbers = Counter(label for one in rest for label in one.labels)
    for label in sorted(numbers, key=lambda label: (numbers[label], label)):
        if not any(label in one.labels for one in part):
            first = next((one for one in rest if label in one.labels), None)
            if first is not None:
                at = place(first.image)
                _move([one for one in rest if place(one.image) == at], part, rest)


def _leave_near_duplicates(part: list[Seen], unknown: Sequence[Seen], problems: Problems) -> None:
    """Leave out images that are almost equal to one that must be unknown."""
    near = _nearest(part, unknown)
    for one, other in zip(part, near, strict=True):
        if other is not None:
            problems.add(
                "image that nearly equals one to validate or test with",
                f"{one.image.uri} and {other.image.uri}",
            )
    part[:] = [one for one, other in zip(part, near, strict=True) if other is None]


def _nearest(part: Sequence[Seen], known: Sequence[Seen]) -> list[Seen | None]:
    """Return for each image a near-duplicate among the known ones, if any."""
    if not known:
        return [None] * len(part)
    hashes = np.stack([one.bits for one in known]).astype(np.float32)
    found: list[Seen | None] = []
    for one in part:
        different = (hashes.shape[1] - hashes @ one.bits.astype(np.float32)) / 2
        best = int(different.argmin())
        found.append(known[best] if different[best] <= NEAR_BITS else None)
    return found


def examples(parts: Parts, read: Read) -> Split:
    """Return the parts for a trainer."""
    return Split(*(tuple(_example(one, read) for one in part) for part in parts.named.values()))


def _example(seen: Seen, read: Read) -> Example:
    image, size_px = seen.image, seen.size_px
    return Example(
        image.uri,
        image.sha256 or "",
        lambda: Image.from_bytes(read(image)),
        tuple(_annotated(thing, size_px) for thing in image.items),
        tuple(_annotated(thing, size_px) for thing in image.absent),
    )


def _annotated(thing: Thing, size_px: tuple[int, int]) -> Annotated:
    if thing.box is None:
        return Annotated(thing.label)
    left, top, width, height = thing.box
    box = BoundingBox.from_edges(
        left, top, left + width, top + height, width=size_px[0], height=size_px[1]
    )
    return Annotated(thing.label, box.clipped())
