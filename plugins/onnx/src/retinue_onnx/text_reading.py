"""Read a line of text: PP-OCRv4's angle classifier and recogniser.

The recogniser returns, for each step of eight pixels, the probability of each character and of
none (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from retinue_sdk import Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.session import Batch

HEIGHT_PX = 48
WIDTH_STEP_PX = 32
"""Widths are rounded up to multiples, so that there are few different ones."""

MAX_WIDTH_PX = 3_200
"""Longer lines are compressed. This one has about 200 characters."""

ANGLE_WIDTH_PX = 192
ANGLE_THRESHOLD = 0.9
"""Minimum probability at which a line is turned by 180°."""

LEVEL_PX = 4.0
"""A line that rises or falls by less, at the recogniser's height, counts as level."""

UPRIGHT = 1.5
"""A line that is so much higher than wide is read from the bottom up, as RapidOCR does."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A part of a line, with its position in it.

    Attributes:
        text: The characters.
        confidence: Their mean probability, 0 to 1.
        start: Its start, as a ratio of the line's length.
        end: Its end, as the same ratio.
    """

    text: str
    confidence: float
    start: float
    end: float


def cut_out(pixels: Pixels, corners: Floats) -> Pixels:
    """Return a line as a picture of the recogniser's height.

    Args:
        pixels: The whole image.
        corners: Shape (4, 2): the line's corners clockwise from where it starts, in pixels.
    """
    start, end, _, below = corners.astype(float)
    length, height = np.hypot(*(end - start)), np.hypot(*(below - start))
    width = int(min(max(np.ceil(HEIGHT_PX * length / max(height, 1.0)), 1), MAX_WIDTH_PX))
    # Shrink by a whole factor first, because the transformation doesn't avoid aliasing.
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 1, pixels.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, high - 1)
    factor = max(1, int(height // HEIGHT_PX))
    part = PillowImage.fromarray(pixels[low[1] : high[1], low[0] : high[0]]).reduce(factor)
    across, down = (end - start) / width / factor, (below - start) / HEIGHT_PX / factor
    left, top = (start - low) / factor
    rise = across[1] * width
    ends = left + across[0] * width, top + rise / 2 + down[1] * HEIGHT_PX
    box = max(left, 0), max(top + rise / 2, 0), *np.minimum(ends, part.size).tolist()
    if abs(rise) <= LEVEL_PX * down[1] and box[0] < box[2] and box[1] < box[3]:
        # Resizing takes a third of the time.
        return np.asarray(part.resize((width, HEIGHT_PX), PillowImage.Resampling.BICUBIC, box=box))
    matrix = (across[0], down[0], left, across[1], down[1], top)
    line = part.transform(
        (width, HEIGHT_PX),
        PillowImage.Transform.AFFINE,
        matrix,
        PillowImage.Resampling.BICUBIC,
    )
    return np.asarray(line)


def from_start(corners: Floats) -> Floats:
    """Return the corners in order, from the bottom left, where an upright line starts."""
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    if np.hypot(*down) < UPRIGHT * np.hypot(*right):
        return corners
    return np.roll(corners, 1, axis=0)


def padded(line: Pixels, width: int) -> Batch:
    """Return one line as input of a network: blue first, -1 to 1, with 0 on its right."""
    batch = np.zeros((1, 3, line.shape[0], width), np.float32)
    for plane in range(3):
        used = batch[0, plane, :, : line.shape[1]]
        np.divide(line[..., 2 - plane], np.float32(127.5), out=used)
        used -= 1
    return batch


def angle_input(line: Pixels) -> Batch:
    """Return the angle classifier's input: the beginning of a long line, compressed."""
    width = min(line.shape[1], ANGLE_WIDTH_PX)
    return padded(
        np.asarray(PillowImage.fromarray(line).resize((width, HEIGHT_PX))), ANGLE_WIDTH_PX
    )


def recogniser_input(line: Pixels) -> Batch:
    """Return the recogniser's input."""
    return padded(line, -(-line.shape[1] // WIDTH_STEP_PX) * WIDTH_STEP_PX)


def read_characters(probabilities: Floats, alphabet: Sequence[str], used: float) -> list[Reading]:
    """Return the characters of a line, without spaces around them.

    Args:
        probabilities: Shape (steps, characters + 1): the first one is of no character.
        alphabet: The characters.
        used: The part of the steps that the line occupies, above 0 to 1.
    """
    best = probabilities.argmax(axis=1)
    changes = np.nonzero(np.diff(best))[0] + 1
    spans = zip([0, *changes.tolist()], [*changes.tolist(), len(best)], strict=True)
    scale = 1 / (len(best) * used)
    found = [
        Reading(
            alphabet[best[start] - 1],
            float(probabilities[start:end, best[start]].max()),
            min(start * scale, 1.0),
            min(end * scale, 1.0),
        )
        for start, end in spans
        if best[start]
    ]
    while found and found[-1].text.isspace():
        found.pop()
    while found and found[0].text.isspace():
        found.pop(0)
    return found


def line_of(characters: Sequence[Reading]) -> Reading:
    """Return all characters together, as the whole line."""
    text = "".join(one.text for one in characters)
    return Reading(text, float(np.mean([one.confidence for one in characters])), 0.0, 1.0)


def words_of(characters: Sequence[Reading]) -> list[Reading]:
    """Return the words of a line.

    A word begins and ends in the middle of its spaces, and with the line.
    """
    words = []
    start, inside = 0.0, list[Reading]()
    for one in [*characters, Reading(" ", 1.0, 1.0, 1.0)]:
        if not one.text.isspace():
            inside.append(one)
            continue
        middle = (one.start + one.end) / 2
        if inside:
            text = "".join(letter.text for letter in inside)
            mean = float(np.mean([letter.confidence for letter in inside]))
            words.append(Reading(text, mean, start, max(middle, start)))
        start, inside = middle, []
    return words
