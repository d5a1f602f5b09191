from dataclasses import replace
from pathlib import Path

import pytest
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from retinue_cli.output.draw import draw
from retinue_sdk import BoundingBox, Detection, InvalidImageError

RATIOS = st.floats(-2, 2)
DETECTIONS = st.builds(
    Detection,
    kind=st.sampled_from(["label", "face", "text"]),
    label=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60),
    confidence=st.floats(0, 1),
    box=st.none()
    | st.builds(BoundingBox, RATIOS, RATIOS, width=st.floats(0, 3), height=st.floats(0, 3)),
)
CAT = Detection("label", "cat", 0.9, BoundingBox(0.2, 0.2, 0.5, 0.5))


def picture(path: Path, size: tuple[int, int], colour: str = "white") -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def colours(path: Path, area: tuple[int, int, int, int] | None = None) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        found = image.convert("RGB").crop(area or (0, 0, *image.size)).getcolors(1 << 24)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}


def test_a_box_is_drawn_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    source = picture(tmp_path / "in.png", (400, 300))
    out = tmp_path / "new" / "out.jpg"
    draw(source, [Detection("label", "cat", 0.9, BoundingBox(0.5, 0.5, 0.25, 0.25))], out)
    assert len(colours(out, (195, 150, 210, 225))) > 1  # the left edge, at 200 px
    assert len(colours(out, (230, 185, 270, 215))) == 1  # inside
    assert len(colours(out, (0, 0, 180, 300))) == 1  # outside
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.jpg"]


def test_a_label_of_the_whole_image_is_a_word_in_the_corner(tmp_path: Path) -> None:
    source = picture(tmp_path / "in.png", (400, 300))
    draw(source, [Detection("label", "cat", 0.9)], tmp_path / "out.jpg")
    assert len(colours(tmp_path / "out.jpg", (0, 0, 100, 30))) > 1
    assert len(colours(tmp_path / "out.jpg", (0, 40, 400, 300))) == 1  # no frame


def test_the_picture_is_upright_and_of_bounded_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("RGB", (3200, 1600)).save(tmp_path / "in.jpg", exif=exif)
    draw(tmp_path / "in.jpg", [], tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.format == "JPEG"
        assert out.size == (800, 1600)
        assert not out.getexif()


@settings(max_examples=examples(0.4), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    found=st.lists(DETECTIONS, max_size=8),
)
def test_any_detections_on_any_picture(
    tmp_path: Path, size: tuple[int, int], found: list[Detection]
) -> None:
    source = picture(tmp_path / "in.png", size)
    draw(source, found, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.size == size


def test_a_label_keeps_its_colour_from_picture_to_picture(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw(picture(tmp_path / "in.png", (400, 300)), [CAT], tmp_path / name)
    draw(tmp_path / "in.png", [replace(CAT, label="dog")], tmp_path / "three")
    with Image.open(tmp_path / "one") as one, Image.open(tmp_path / "two") as two:
        assert one.tobytes() == two.tobytes()
    assert colours(tmp_path / "one") != colours(tmp_path / "three")


def test_a_picture_is_drawn_again_only_if_it_would_change(tmp_path: Path) -> None:
    source, out = picture(tmp_path / "in.png", (400, 300)), tmp_path / "out.jpg"
    draw(source, [CAT], out)
    first = out.stat()
    draw(source, [CAT], out)
    assert out.stat().st_ino == first.st_ino
    draw(source, [CAT, CAT], out)
    assert out.stat().st_ino != first.st_ino


def test_a_picture_has_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    name = f"{'x' * 251}.jpg"
    draw(picture(tmp_path / "in.png", (40, 30)), [], tmp_path / "out" / name)
    assert [each.name for each in (tmp_path / "out").iterdir()] == [name]


def test_what_is_no_picture_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"not a picture")
    with pytest.raises(InvalidImageError):
        draw(tmp_path / "in.png", [], tmp_path / "out" / "out.jpg")
    assert not (tmp_path / "out").exists()
