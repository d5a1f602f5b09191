"""Draw detections on their photograph."""

import colorsys
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from retinue_sdk import Detection, ImageLimits
from retinue_sdk.decode import Pixels, decode
from retinue_sdk.image import WHOLE

from retinue_cli.output.shapes import draw_shapes

MAX_SIDE_PX = 1_600
JPEG_QUALITY = 90

MAX_HIDDEN = 0.25
"""The part that a text and the label of a text may share, of the smaller one."""

_LIMITS = ImageLimits()

Colour = tuple[int, int, int]
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Area = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


def draw(image_path: Path, detections: Sequence[Detection], destination: Path) -> None:
    """Draw detections on a photograph, and save it as a JPEG.

    Args:
        image_path: The photograph; untrusted.
        detections: The detections. Boxes outside the image are omitted, others are cut at its
            border.
        destination: The JPEG to write. Its folder is created, and an existing file is replaced,
            unless it already shows these boxes on this photograph.

    Raises:
        InvalidImageError: The photograph can't be decoded, or is too large.
        OSError: It can't be read, or the result can't be written.
    """
    source = image_path.stat()
    _LIMITS.check_bytes(source.st_size)
    shown = repr((source.st_size, source.st_mtime_ns, detections))
    signature = hashlib.sha256(shown.encode(errors="surrogatepass")).hexdigest()
    if _signature(destination) == signature:
        return
    picture = paint(image_path.read_bytes(), detections, _LIMITS)

    destination.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own length, because the picture's may have as many bytes as a name can have.
    digest = hashlib.sha256(os.fsencode(destination.name)).hexdigest()
    draft = destination.with_name(f".{digest[:32]}.draft")
    try:
        # Without chroma subsampling, which would smear thin coloured lines.
        picture.save(draft, "JPEG", quality=JPEG_QUALITY, subsampling=0, comment=signature)
        draft.replace(destination)
    finally:
        draft.unlink(missing_ok=True)


def paint(data: bytes, detections: Sequence[Detection], limits: ImageLimits) -> Image.Image:
    """Draw detections on a photograph, scaled to at most ``MAX_SIDE_PX`` a side.

    Each has its label, a frame unless it applies to the whole image, and a mask and body points if
    its attributes have them.

    Args:
        data: The photograph's file; untrusted.
        detections: The detections. Boxes outside the image are omitted, others are cut at its
            border.
        limits: The largest photograph to decode.

    Raises:
        InvalidImageError: The photograph can't be decoded, or is too large.
    """
    return paint_pixels(decode(data, limits), detections)


def paint_pixels(pixels: Pixels, detections: Sequence[Detection]) -> Image.Image:
    """Draw detections as ``paint`` does on a decoded picture."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    placed = [
        (found, area)
        for found in detections
        # The words of a text would hide each other: its lines show them too.
        if (area := _area(found, picture.size)) and found.attributes.get("Type") != "WORD"
    ]
    # Small ones last, so that a person's box doesn't cross out the tie.
    placed.sort(key=lambda item: -_size(item[1]))
    style = _Style.of(picture.size)
    for found, area in placed:
        colour = _colour_of(found.kind, found.label)
        draw_shapes(picture, found.attributes, colour, style.line)
        if found.box is not None:
            _draw_box(picture, area, colour, style)
    _draw_chips(picture, placed, style)
    return picture


def _signature(picture: Path) -> str | None:
    """Return the description of the boxes that an earlier ``draw`` stored in the file."""
    try:
        with Image.open(picture, formats=["JPEG"]) as file:
            comment = file.info.get("comment", b"")
    except OSError:
        return None
    return comment.decode("ascii", errors="replace") if isinstance(comment, bytes) else None


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes for a picture, in pixels."""

    line: int
    font: int
    padding: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> "_Style":
        # Between the sides, so that a panorama's labels are neither tiny nor fill its height.
        side = (max(size) * min(size)) ** 0.5
        font = min(max(14, round(side / 46)), max(8, min(size) // 4))
        return cls(line=max(3, round(side / 220)), font=font, padding=max(3, round(font * 0.32)))


def _area(found: Detection, size: tuple[int, int]) -> Area | None:
    """Return the visible part of a detection's box in pixels, if any."""
    visible = (found.box or WHOLE).clipped()
    if visible.area <= 0:
        return None
    width, height = size
    left, top = int(visible.left * width), int(visible.top * height)
    right = max(round(visible.right * width), left + 1)
    bottom = max(round(visible.bottom * height), top + 1)
    return left, top, min(right, width), min(bottom, height)


def _size(area: Area) -> int:
    return (area[2] - area[0]) * (area[3] - area[1])


def colour_of(kind: str, label: str) -> str:
    """Return a label's colour for a page."""
    return "#{:02x}{:02x}{:02x}".format(*_colour_of(kind, label))


def _colour_of(kind: str, label: str) -> Colour:
    """Return a vivid colour that depends only on kind and label."""
    number = zlib.crc32(f"{kind}\0{label.casefold()}".encode(errors="replace"))
    hue = (number % 24) / 24  # in steps, so that two colours are either equal or clearly different
    lightness = (0.58, 0.66, 0.54)[number // 24 % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ink(background: Colour) -> Colour:
    """Return black or white, for the better contrast with a colour."""
    red, green, blue = ((channel / 255) ** 2.2 for channel in background)
    return (16, 16, 20) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else (255, 255, 255)


def _draw_box(picture: Image.Image, area: Area, colour: Colour, style: _Style) -> None:
    """Draw a frame with a dark edge on either side, which is visible on any background."""
    left, top, right, bottom = area
    edge = max(1, style.line // 3)
    shade = Image.new("L", (right - left, bottom - top), 0)
    width = style.line + 2 * edge
    ImageDraw.Draw(shade).rectangle((0, 0, right - left - 1, bottom - top - 1), 110, None)
    if right - left > 2 * width and bottom - top > 2 * width:
        inner = (width, width, right - left - 1 - width, bottom - top - 1 - width)
        ImageDraw.Draw(shade).rectangle(inner, 0)
    picture.paste((0, 0, 0), (left, top), shade)
    if right - left > 2 * edge and bottom - top > 2 * edge:
        frame = (left + edge, top + edge, right - 1 - edge, bottom - 1 - edge)
        ImageDraw.Draw(picture).rectangle(frame, outline=colour, width=style.line)


def _draw_chips(
    picture: Image.Image, placed: Sequence[tuple[Detection, Area]], style: _Style
) -> None:
    """Draw the labels, the most confident first, where they cover no other.

    A label that would hide texts is omitted if it is a text's, as on a dense page.
    """
    taken: list[Area] = []
    texts = [area for found, area in placed if found.kind == "text"]
    for found, area in sorted(placed, key=lambda item: -item[0].confidence):
        chip = _chip(found, style, picture.size)
        spots = list(_spots(area, chip.size, picture.size))
        obstacles = taken
        if found.kind == "text":
            spots = [spot for spot in spots if spot[1] <= area[3] and spot[3] >= area[1]]
            obstacles = taken + texts
        hidden = [sum(_overlap(spot, other) for other in obstacles) for spot in spots]
        spot = spots[hidden.index(min(hidden))]
        if found.kind == "text" and any(
            _overlap(spot, text) > MAX_HIDDEN * min(_size(spot), _size(text)) for text in texts
        ):
            continue
        taken.append(spot)
        picture.paste(chip.convert("RGB"), spot[:2], chip.getchannel("A"))


def _text(found: Detection, font: _Font, room_px: int) -> str:
    """Return label and confidence. Truncate labels of more than half the picture's width."""
    label = " ".join(found.label.split())
    # Whole percents, and 100 % only for 1.
    percent = f"{min(round(found.confidence * 100), 99) if found.confidence < 1 else 100} %"
    text = f"{label} {percent}".strip()
    while font.getlength(text) > room_px and label:
        label = label[:-1].rstrip()
        text = f"{label}… {percent}" if label else percent
    return text


def _spots(area: Area, size: tuple[int, int], picture: tuple[int, int]) -> Iterator[Area]:
    """Yield positions for a label, the best first, each moved into the picture."""
    left, top, right, bottom = area
    width, height = size
    columns = (left, right - width)
    rows = (top - height, top, bottom - height, bottom)
    for row in rows:
        for column in columns:
            if row == rows[0] and top < height:
                continue  # no room above: it would move to the box's top, which comes next
            x = min(max(column, 0), picture[0] - width)
            y = min(max(row, 0), picture[1] - height)
            yield x, y, x + width, y + height
    # A crowd: any position further down along the box's left side.
    x = min(max(left, 0), picture[0] - width)
    for y in range(max(top, 0), picture[1] - height, max(height, 1)):
        yield x, y, x + width, y + height


def _overlap(one: Area, other: Area) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


@lru_cache(maxsize=16)
def _font(size_px: int) -> _Font:
    return ImageFont.load_default(size_px)


def _chip(found: Detection, style: _Style, picture: tuple[int, int]) -> Image.Image:
    """Return a label on its background, no larger than the picture."""
    font, colour = _font(style.font), _colour_of(found.kind, found.label)
    text = _text(found, font, max(picture[0] // 2, 8 * style.font))
    _, top, _, bottom = font.getbbox("Ågj|")  # the same height for every label
    width = min(round(font.getlength(text)) + 2 * style.padding, picture[0])
    height = min(round(bottom - top) + 2 * max(2, style.padding // 2), picture[1])
    chip = Image.new("RGBA", (width, height), colour)
    ImageDraw.Draw(chip).text(
        (style.padding, max(2, style.padding // 2) - top), text, fill=_ink(colour), font=font
    )
    scale = 4  # rounded corners look smooth when drawn large and scaled down
    mask = Image.new("L", (width * scale, height * scale), 0)
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, width * scale - 1, height * scale - 1), radius=height * scale // 6, fill=245
    )
    chip.putalpha(mask.resize((width, height), Image.Resampling.LANCZOS))
    return chip
