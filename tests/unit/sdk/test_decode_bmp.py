"""Decoding: every variant of BMP, against the pixels that it was made of."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import ImageLimits
from retinue_sdk.decode import decode, is_truncated, measure
from unit.sdk.pictures import LIMITS, is_close, photo, refusal, saved

Array = npt.NDArray[np.integer]

OS2_1 = 12
HEADERS = [OS2_1, 16, 20, 24, 40, 52, 56, 64, 108, 124]
RGB555 = (0x7C00, 0x3E0, 0x1F, 0)
RGB888 = (0xFF0000, 0xFF00, 0xFF, 0)


def header(
    size: int,
    shape: tuple[int, ...],
    bits: int,
    compression: int = 0,
    *,
    data_bytes: int = 0,
    colours: int = 0,
    masks: Sequence[int] = (),
    is_top_down: bool = False,
) -> bytes:
    """Return a BMP's second header; the masks are in it, or follow it."""
    height, width = shape[:2]
    if size == OS2_1:
        return struct.pack("<IHHHH", size, width, height, 1, bits)
    fields = struct.pack(
        *("<IiiHHIIiiII", size, width, -height if is_top_down else height, 1, bits, compression),
        *(data_bytes, 2_835, 2_835, colours, 0),
    )
    whole = fields + b"".join(struct.pack("<I", mask) for mask in masks)
    return whole[:size] if size < 40 else whole.ljust(size, b"\0")


def bmp(head: bytes, pixels: bytes, palette: bytes = b"", gap: bytes = b"") -> bytes:
    """Return a BMP out of its parts."""
    offset = 14 + len(head) + len(palette) + len(gap)
    whole = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    return whole + head + palette + gap + pixels


def packed(values: Array, bits: int, *, is_top_down: bool) -> bytes:
    """Return rows of numbers of so many bits, each row padded to 32 bits."""
    rows = values if is_top_down else values[::-1]
    digits = [
        "".join(f"{value:0{bits}b}" for value in row).ljust((len(row) * bits + 31) // 32 * 32, "0")
        for row in rows.tolist()
    ]
    return b"".join(int(row, 2).to_bytes(len(row) // 8) for row in digits)


def little(values: Array, size: int, *, is_top_down: bool) -> bytes:
    rows = values if is_top_down else values[::-1]
    parts = [b"".join(value.to_bytes(size, "little") for value in row) for row in rows.tolist()]
    return b"".join(part.ljust((len(part) + 3) // 4 * 4, b"\0") for part in parts)


def drawn(data: st.DataObject, below: int, *last: int) -> Array:
    """Random numbers in the shape of a picture."""
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    return chance.integers(0, below, (height, width, *last))


@given(st.data())
def test_palettes(data: st.DataObject) -> None:
    size, bits = data.draw(st.sampled_from(HEADERS)), data.draw(st.sampled_from([1, 2, 4, 8]))
    is_top_down = size > OS2_1 and data.draw(st.booleans())
    indices = drawn(data, 1 << bits)
    number = 1 << bits
    if size >= 40 and data.draw(st.booleans()):
        number = data.draw(st.integers(1, 1 << bits))  # indices beyond it are black
    entry = 3 if size == OS2_1 else 4
    colours = np.random.default_rng(1).integers(0, 256, (number, entry)).astype(np.uint8)
    used = number if size >= 40 and number < 1 << bits else 0
    file = bmp(
        header(size, indices.shape, bits, colours=used, is_top_down=is_top_down),
        packed(indices, bits, is_top_down=is_top_down),
        colours.tobytes(),
        data.draw(st.binary(max_size=9)) if number == 1 << bits else b"",
    )
    table = np.zeros((256, 3), np.uint8)
    table[:number] = colours[:, 2::-1]
    assert np.array_equal(decode(file, LIMITS), table[indices])
    assert measure(file, LIMITS) == indices.shape[::-1]
    assert not is_truncated(file)


@given(st.data())
def test_colours_of_24_bits(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(HEADERS))
    is_top_down = size > OS2_1 and data.draw(st.booleans())
    pixels = drawn(data, 256, 3)
    values = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    file = bmp(
        header(size, pixels.shape, 24, is_top_down=is_top_down),
        little(values, 3, is_top_down=is_top_down),
    )
    assert np.array_equal(decode(file, LIMITS), pixels)


def masks_of(widths: Sequence[int]) -> list[int]:
    """Masks of so many bits each, from the lowest bit on."""
    masks, at = [], 0
    for width in widths:
        masks.append((1 << width) - 1 << at)
        at += width
    return masks


@given(st.data())
def test_colours_under_masks(data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([16, 32]))
    compression = data.draw(st.sampled_from([0, 3, 6]))
    size = data.draw(st.sampled_from([40, 52, 56, 64, 108, 124]))
    has_alpha = compression == 6 or (compression == 3 and size >= 56)
    if compression:
        widths = data.draw(st.lists(st.integers(1, bits // 4), min_size=4, max_size=4))
        masks = data.draw(st.permutations(masks_of(widths)))
        if not has_alpha or data.draw(st.booleans()):
            masks[3] = 0
    else:
        masks = list(RGB555 if bits == 16 else RGB888)
    is_top_down = data.draw(st.booleans())
    values = drawn(data, 1 << bits)
    file = bmp(
        header(
            *(size, values.shape, bits, compression),
            masks=masks[: 4 if has_alpha else 3] if compression else (),
            is_top_down=is_top_down,
        ),
        little(values, bits // 8, is_top_down=is_top_down),
    )
    samples = [
        (values & mask) / (mask & -mask) * 255 / (mask // (mask & -mask)) if mask else values * 0
        for mask in masks
    ]
    wanted = np.stack(samples[:3], axis=-1)
    if masks[3] and samples[3].any():
        alpha = samples[3][..., None] / 255
        wanted = wanted * alpha + 255 * (1 - alpha)
    assert np.abs(decode(file, LIMITS) - wanted).max() <= 1.5


def test_alpha_that_is_nowhere_counts_as_none() -> None:
    values = np.full((2, 2), 0x0000FF)
    file = bmp(
        header(56, (2, 2), 32, 3, masks=[0xFF0000, 0xFF00, 0xFF, 0xFF000000]),
        little(values, 4, is_top_down=False),
    )
    assert (decode(file, LIMITS) == (0, 0, 255)).all()


# Run lengths


@st.composite
def runs(draw: st.DrawFn, width: int, height: int, limit: int) -> list[tuple[str, list[int]]]:
    """Commands of a run-length encoder that stay within a picture."""
    commands: list[tuple[str, list[int]]] = []
    x = y = 0
    while y < height:
        kind = draw(st.sampled_from(["run", "run", "run", "literal", "skip", "line", "end"]))
        room = width - x
        if kind == "run" and room:
            number = draw(st.integers(1, room))
            commands.append((kind, [number, *draw(st.tuples(*[st.integers(0, limit - 1)] * 2))]))
            x += number
        elif kind == "literal" and room >= 3:
            number = draw(st.integers(3, room))
            value = st.integers(0, limit - 1)
            commands.append((kind, draw(st.lists(value, min_size=number, max_size=number))))
            x += number
        elif kind == "skip" and room and y + 1 < height:
            right, up = draw(st.integers(0, room - 1)), draw(st.integers(0, height - y - 1))
            commands.append((kind, [right, up]))
            x, y = x + right, y + up
        elif kind == "end" and draw(st.integers(0, 9)) == 0:
            break
        elif kind == "line" or not room:
            commands.append(("line", []))
            x, y = 0, y + 1
    return commands


def encoded(commands: list[tuple[str, list[int]]], compression: int) -> bytes:
    parts = []
    for kind, values in commands:
        match kind:
            case "run" if compression == 1:
                parts.append(bytes(values[:2]))
            case "run" if compression == 2:
                parts.append(bytes([values[0], values[1] << 4 | values[2]]))
            case "run":
                parts.append(bytes([values[0], values[1], values[2], values[1]]))
            case "literal":
                if compression == 1:
                    body = bytes(values)
                elif compression == 2:
                    even = [*values, 0]
                    body = bytes(even[n] << 4 | even[n + 1] for n in range(0, len(values), 2))
                else:
                    body = b"".join(bytes([value, 1, 2]) for value in values)
                parts.append(bytes([0, len(values)]) + body + b"\0" * (len(body) % 2))
            case "skip":
                parts.append(bytes([0, 2, *values]))
            case _:
                parts.append(b"\0\0")
    return b"".join(parts) + b"\0\1"


@given(st.data())
def test_run_lengths(data: st.DataObject) -> None:
    compression, bits = data.draw(st.sampled_from([(1, 8), (2, 4), (4, 24)]))
    width, height = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 8))
    commands = data.draw(runs(width, height, 16 if bits == 4 else 256))
    colours = np.random.default_rng(1).integers(0, 256, (1 << bits if bits < 24 else 0, 4))
    wanted = np.full((height, width, 3), 255)  # what is skipped is transparent
    x = y = 0
    for kind, values in commands:
        if kind == "line":
            x, y = 0, y + 1
        elif kind == "skip":
            x, y = x + values[0], y + values[1]
        else:
            if kind == "run":
                number, first, second = values
                indices = [(first, second)[n % 2 if bits == 4 else 0] for n in range(number)]
                triples = [(first, second, first)] * number
            else:
                indices, triples = values, [(value, 1, 2) for value in values]
            for index, (blue, green, red) in zip(indices, triples, strict=True):
                wanted[y, x] = (red, green, blue) if bits == 24 else colours[index, 2::-1]
                x += 1
    body = encoded(commands, compression)
    file = bmp(
        header(64 if bits == 24 else 40, (height, width), bits, compression, data_bytes=len(body)),
        body,
        colours.astype(np.uint8).tobytes(),
    )
    assert np.array_equal(decode(file, LIMITS), wanted[::-1])


def test_truncated_run_lengths() -> None:
    rows = [bytes([7, 1, 0, 0]) for _ in range(10)]
    body = b"".join(rows) + b"\0\1"
    palette = bytes(4) + b"\1\2\3\0" + bytes(4 * 254)
    file = bmp(header(40, (10, 7), 8, 1, data_bytes=len(body)), body, palette)
    pixels = decode(file[:-14], LIMITS)
    assert is_truncated(file[:-14])
    assert (pixels[3:] == (3, 2, 1)).all()
    assert (pixels[:3] == 255).all()
    assert refusal(file[:-22]).code == "corrupt_image"


# Others


@pytest.mark.parametrize(("compression", "form"), [(4, "JPEG"), (5, "PNG")])
def test_a_picture_in_an_envelope(compression: int, form: str) -> None:
    inner = saved(photo(), form)
    file = bmp(header(40, (32, 48), 0, compression, data_bytes=len(inner)), inner)
    assert is_close(decode(file, LIMITS), photo())
    assert measure(file, LIMITS) == photo().size
    assert refusal(bmp(header(40, (32, 48), 0, compression), file)).code == "unsupported_format"


@pytest.mark.parametrize(("bits", "compression"), [(1, 3), (64, 0), (8, 2), (24, 1), (32, 11)])
def test_an_unknown_kind_is_unsupported(bits: int, compression: int) -> None:
    file = bmp(header(40, (4, 4), bits, compression), bytes(200))
    assert refusal(file).code == "unsupported_format"


@pytest.mark.parametrize(
    "head",
    [
        header(66, (4, 4), 24),
        header(40, (4, 4), 23),
        header(40, (0, 4), 24),
        header(40, (4, 0), 24),
        header(40, (4, 4), 24)[:20],
    ],
)
def test_headers_without_sense_are_corrupt(head: bytes) -> None:
    assert refusal(bmp(head, b"")).code == "corrupt_image"


def test_limits_hold() -> None:
    for bits, compression in ((24, 0), (8, 1), (1, 0)):
        huge = bmp(header(40, (20_000, 20_000), bits, compression, data_bytes=2), b"\0\1")
        assert refusal(huge).code == "too_many_pixels"
    small = ImageLimits(max_px=3)
    assert refusal(saved(photo(), "BMP"), small).code == "too_many_pixels"


def test_a_large_picture_of_few_bytes_costs_no_memory() -> None:
    lying = bmp(header(40, (9_000, 9_000), 32), bytes(100))
    assert refusal(lying).code == "corrupt_image"
