"""Paste logos on photographs, and write the pictures with the logos' boxes.

Composites are drawings on photographs, not photographs of signs. A model that finds these logos may
miss real ones. Name the data beside every figure.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

SIDE_PX = 640
"""Longer side of a composite."""

LOGO_SHARE = (0.1, 0.4)
"""Range of a logo's longer side, as a share of the composite's."""

PHOTOGRAPH_SHARE = (0.6, 1.0)
"""Range of the part of a photograph that a composite shows."""

MAX_LOGOS = 3
"""Maximum number of logos in a composite."""

MAX_TILT_DEGREES = 25
"""Rotation in either direction."""

MAX_WARP = 0.18
"""Distance by which a corner moves for the perspective, as a share of the logo's shorter side."""

BRIGHTNESS = (0.65, 1.15)
BLUR_PX = (0.0, 1.2)
JPEG_QUALITY = (50, 92)

TRIES = 100
"""Places that are tried for a logo, until it overlaps no other."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A picture with the boxes of its logos.

    Attributes:
        photograph: The name of the photograph.
        jpeg: The file.
        size_px: Width and height.
        boxes: The labels with their boxes.
    """

    photograph: str
    jpeg: bytes
    size_px: tuple[int, int]
    boxes: tuple[tuple[str, Box], ...]


def composites(
    photographs: Mapping[str, Image.Image],
    logos: Mapping[str, Image.Image],
    others: Sequence[Image.Image],
    *,
    per_logo: int,
    seed: int,
) -> Iterator[Composite]:
    """Yield composites until ``per_logo`` of them show each logo, and a sixth of all show none.

    Equal arguments give equal files.

    Args:
        photographs: Photographs in RGB by name.
        logos: Logos in RGBA by label.
        others: Logos that half of the composites show too, without a box: a model that takes them
            for one of ``logos`` is wrong.
        per_logo: Number of composites with each logo.
        seed: Seed of everything that is random.
    """
    random = np.random.default_rng(seed)
    names = list(photographs)
    for index, group in enumerate(_groups(list(logos), per_logo, random)):
        name = names[index % len(names)]
        unmarked = others[int(random.integers(len(others)))] if others else None
        shown = [(label, logos[label]) for label in group]
        yield _composite(
            name,
            _part(photographs[name], random),
            shown,
            unmarked if random.random() < 0.5 else None,
            random,
        )


def write_coco(made: Sequence[Composite], file: Path) -> None:
    """Write pictures into a folder beside a COCO file, and the file."""
    folder = file.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    labels = sorted({label for one in made for label, _ in one.boxes})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(made, 1):
        name = f"{number:04}-{Path(one.photograph).stem}.jpg"
        (folder / name).write_bytes(one.jpeg)
        width, height = one.size_px
        size = {"width": width, "height": height, "photograph": one.photograph}
        images.append({"id": number, "file_name": f"{folder.name}/{name}", **size})
        for label, box in one.boxes:
            facts = {"bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
            ids = {"id": len(annotations) + 1, "image_id": number}
            annotations.append({**ids, "category_id": labels.index(label) + 1, **facts})
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    text = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(text, indent=1) + "\n", "utf-8")


def _groups(labels: Sequence[str], per_logo: int, random: np.random.Generator) -> list[list[str]]:
    """Return the labels of each composite, in random order."""
    queue = [label for label in labels for _ in range(per_logo)]
    random.shuffle(queue)
    groups: list[list[str]] = []
    while queue:
        wanted = int(random.integers(1, MAX_LOGOS + 1))
        group: list[str] = []
        while queue and len(group) < wanted and queue[-1] not in group:
            group.append(queue.pop())
        groups.append(group)
    groups += [[] for _ in range(len(groups) // 5 + 1)]
    order = random.permutation(len(groups))
    return [groups[int(number)] for number in order]


def _composite(
    name: str,
    picture: Image.Image,
    logos: Sequence[tuple[str, Image.Image]],
    unmarked: Image.Image | None,
    random: np.random.Generator,
) -> Composite:
    boxes: list[tuple[str, Box]] = []
    taken: list[Box] = []
    pasted: list[tuple[str | None, Image.Image]] = [*logos]
    if unmarked is not None:
        pasted.append((None, unmarked))
    for label, logo in pasted:
        box = _paste(picture, logo, taken, random)
        if box is not None:
            taken.append(box)
        if box is not None and label is not None:
            boxes.append((label, box))
    picture = picture.filter(ImageFilter.GaussianBlur(float(random.uniform(*BLUR_PX))))
    file = io.BytesIO()
    low, high = JPEG_QUALITY
    picture.save(file, "JPEG", quality=int(random.integers(low, high + 1)))
    return Composite(name, file.getvalue(), picture.size, tuple(boxes))


def _part(photograph: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return a random part of a photograph, perhaps mirrored, at the size of a composite."""
    share = float(random.uniform(*PHOTOGRAPH_SHARE))
    width, height = round(photograph.width * share), round(photograph.height * share)
    left = int(random.integers(photograph.width - width + 1))
    top = int(random.integers(photograph.height - height + 1))
    part = photograph.crop((left, top, left + width, top + height))
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = SIDE_PX / max(width, height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return part.resize(size, Image.Resampling.BICUBIC)


def _paste(
    picture: Image.Image, logo: Image.Image, taken: Sequence[Box], random: np.random.Generator
) -> Box | None:
    """Paste a logo where it overlaps no other, and return its box; ``None`` without space."""
    for _ in range(TRIES):
        seen = _seen(logo, random)
        width, height = seen.size
        if width >= picture.width or height >= picture.height:
            continue
        left = int(random.integers(picture.width - width))
        top = int(random.integers(picture.height - height))
        box = (left, top, width, height)
        if not any(_overlap(box, other) for other in taken):
            picture.paste(seen, (left, top), seen)
            return box
    return None


def _overlap(one: Box, other: Box) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


def _seen(logo: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return a logo as a camera might see it: of a random size, tilted, in perspective, and lit."""
    side = SIDE_PX * float(np.exp(random.uniform(*np.log(LOGO_SHARE))))
    scale = side / max(logo.size)
    width, height = max(round(logo.width * scale), 8), max(round(logo.height * scale), 8)
    flat = logo.resize((width, height), Image.Resampling.LANCZOS)
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)], float)
    warp = random.uniform(-MAX_WARP, MAX_WARP, (4, 2)) * min(width, height)
    angle = np.radians(random.uniform(-MAX_TILT_DEGREES, MAX_TILT_DEGREES))
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    moved = (corners + warp - (width / 2, height / 2)) @ turn.T
    moved -= moved.min(axis=0)
    across, down = (int(one) + 1 for one in np.ceil(moved.max(axis=0)))
    seen = flat.transform(
        (across, down),
        Image.Transform.PERSPECTIVE,
        _perspective(moved, corners),
        Image.Resampling.BICUBIC,
    )
    alpha = seen.getchannel("A")
    light = float(random.uniform(*BRIGHTNESS))
    lit = ImageEnhance.Brightness(seen.convert("RGB")).enhance(light).convert("RGBA")
    lit.putalpha(alpha)
    return lit.crop(alpha.point([255 * (value > 64) for value in range(256)]).getbbox())


def _perspective(moved: npt.NDArray[np.float64], corners: npt.NDArray[np.float64]) -> list[float]:
    """Return Pillow's eight coefficients of the perspective that moves the corners."""
    rows = []
    for (x, y), (u, v) in zip(moved, corners, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
    return [float(one) for one in np.linalg.solve(np.array(rows), corners.reshape(-1))]
