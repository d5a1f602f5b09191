"""Thumbnails, views and originals, of files that mean no harm and of others."""

import io
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
from console.conftest import ADDRESS, Add, Client
from PIL import Image, ImageOps
from retinue_cli.local.state import State
from retinue_console.app import make_app
from retinue_console.page import Services
from retinue_console.pictures.cache import PictureCache
from retinue_console.pictures.decoder import Decoder
from retinue_console.pictures.pictures import Pictures
from retinue_sdk import ImageLimits, InvalidImageError
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

COLOURS = ("red", "lime", "blue", "yellow")


def picture(size: tuple[int, int] = (400, 200), orientation: int = 1, form: str = "JPEG") -> bytes:
    """A picture with another colour in each quarter."""
    image = Image.new("RGB", size)
    for number, colour in enumerate(COLOURS):
        left, top = number % 2 * size[0] // 2, number // 2 * size[1] // 2
        image.paste(colour, (left, top, left + size[0] // 2, top + size[1] // 2))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, form, exif=exif)
    return file.getvalue()


def quarters(image: Image.Image) -> list[int]:
    """Which colour is in the middle of each quarter."""
    image = image.convert("RGB")
    places = [(x * image.width // 4, y * image.height // 4) for y in (1, 3) for x in (1, 3)]
    known = [Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in COLOURS]

    def nearest(place: tuple[int, int]) -> int:
        found = image.getpixel(place)
        distances = [sum(abs(a - b) for a, b in zip(found, one, strict=True)) for one in known]
        return distances.index(min(distances))

    return [nearest(place) for place in places]


def test_pictures_are_upright(client: Client, add: Add) -> None:
    each = [(orientation, "thumbnail", 320) for orientation in range(1, 9)]
    for orientation, kind, longest in (*each, (6, "view", 1_600)):
        data = picture((longest * 5 // 4, longest * 5 // 8), orientation)
        image_id = add("photo.jpg", data)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        said = client.get(f"/pictures/{image_id}/{kind}")
        assert said.headers["content-type"] == "image/webp"
        assert "immutable" in said.headers["cache-control"]
        made = Image.open(io.BytesIO(said.content))
        assert made.size == ((longest, longest // 2), (longest // 2, longest))[orientation > 4]
        assert quarters(made) == quarters(upright)


def test_thumbnails_are_small(client: Client, add: Add) -> None:
    noise = Image.effect_noise((1_500, 1_500), 200)
    file = io.BytesIO()
    noise.convert("RGB").save(file, "JPEG")
    image_id = add("noise.jpg", file.getvalue())
    assert len(client.get(f"/pictures/{image_id}/thumbnail").content) <= 25_000


def huge() -> bytes:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


def hostile_files() -> list[tuple[str, bytes, str]]:
    return [
        (
            "drawing.svg",
            b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
            "not a readable",
        ),
        ("page.jpg", b"<!doctype html><script>alert(1)</script>", "not a readable image"),
        ("empty.jpg", b"", "0 bytes"),
        ("half.jpg", picture()[:200], "truncated"),
        ("huge.png", huge(), "more than 89,478,485 pixels"),
    ]


def test_no_picture_is_made_for_a_browser_that_left(
    services: Services, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has asked for those of the next page meanwhile, which would wait."""
    image_id = add("a.jpg", picture())
    path = f"/pictures/{image_id}/thumbnail"
    console, made = make_app(services), []
    find = services.pictures.picture
    monkeypatch.setattr(
        services.pictures, "picture", lambda *given: made.append(given) or find(*given)
    )

    async def gone(scope: Scope, _: Receive, send: Send) -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await console(scope, receive, send)

    assert TestClient(gone, base_url=ADDRESS).get(path).status_code == 408
    assert made == []
    assert TestClient(console, base_url=ADDRESS).get(path).status_code == 200
    assert len(made) == 1


def test_files_that_are_no_pictures(client: Client, add: Add) -> None:
    for name, data, reason in hostile_files():
        image_id = add(name, data)
        for _ in range(2):  # made, and from the cache
            said = client.get(f"/pictures/{image_id}/thumbnail")
            assert said.status_code == 200
            assert said.headers["content-type"].startswith("image/svg+xml")
            assert said.headers["retinue-picture"] == "none"
            assert reason in " ".join(re.sub("<[^>]*>", " ", said.text).split())
            assert "<script" not in said.text
        if data:
            original = client.get(f"/pictures/{image_id}/original")
            assert original.content == data
            assert original.headers["content-type"] == "application/octet-stream"
            assert original.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"


def test_a_file_that_is_gone_and_one_that_has_changed(
    client: Client, add: Add, tmp_path: Path
) -> None:
    gone, changed = add("gone.png", picture(form="PNG")), add("changed.png", picture(form="PNG"))
    [folder] = tmp_path.glob("photos-*")
    (folder / "gone.png").unlink()
    (folder / "changed.png").write_bytes(picture((2, 2), form="PNG"))
    assert "gone" in client.get(f"/pictures/{gone}/view").text
    assert client.get(f"/pictures/{gone}/original").status_code == 404
    assert "picture that" in client.get(f"/pictures/{changed}/view").text


def test_nothing_is_shown_of_what_was_removed_or_forgotten(
    client: Client, add: Add, console_url: str, pictures: Pictures
) -> None:
    removed, forgotten, other = (add(f"{n}.png", picture((8 + n, 8), form="PNG")) for n in range(3))
    ids = (removed, forgotten, other)
    for image_id in ids:
        assert client.get(f"/pictures/{image_id}/thumbnail").content.startswith(b"RIFF")
    cache = PictureCache(State.find().pictures, 10**9)
    assert cache.image_ids() == set(ids)
    with psycopg.connect(console_url.replace("+psycopg", "")) as owner:
        owner.execute("UPDATE images SET deleted_at = now() WHERE image_id = %s", [removed])
        owner.execute("DELETE FROM images WHERE image_id = %s", [forgotten])
    assert "removed from the bucket" in client.get(f"/pictures/{removed}/thumbnail").text
    assert client.get(f"/pictures/{forgotten}/thumbnail").status_code == 404
    assert cache.image_ids() == {other}
    cache.put(forgotten, "view", b"RIFF")
    assert pictures.purge() == 1
    assert cache.image_ids() == {other}


def test_a_file_that_takes_too_long_does_not_hold_up_others() -> None:
    decoder = Decoder(seconds=0)
    for _ in range(3):
        with pytest.raises(InvalidImageError, match="longer than 0 s"):
            decoder.encode(picture(), ImageLimits(), longest_px=10)
    decoder.close()


def processes() -> list[psutil.Process]:
    """The decoder's processes: the fork server, and those that it has forked."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "retinue_console.pictures.child" in each.cmdline()]


@pytest.mark.parametrize("with_server", [False, True])
def test_a_decoder_that_ends_is_replaced(*, with_server: bool) -> None:
    decoder = Decoder()
    good = decoder.encode(picture(), ImageLimits(), longest_px=10)
    server, child = processes()
    child.kill()
    if with_server:
        server.kill()
    with pytest.raises(InvalidImageError, match="crashes the decoder"):
        decoder.encode(picture(), ImageLimits(), longest_px=10)
    assert decoder.encode(picture(), ImageLimits(), longest_px=10) == good
    decoder.close()
    assert processes() == []


def test_a_decoder_without_work_ends() -> None:
    decoder = Decoder()
    good = decoder.encode(picture(), ImageLimits(), longest_px=10)
    decoder.end_idle()
    assert len(processes()) == 2
    decoder.end_idle()
    assert processes() == []
    assert decoder.encode(picture(), ImageLimits(), longest_px=10) == good
    decoder.close()


def test_decoders_share_the_memory_of_imports() -> None:
    decoder = Decoder()
    with ThreadPoolExecutor(2) as threads:
        for _ in range(4):
            threads.submit(decoder.encode, picture((2_000, 2_000)), ImageLimits(), longest_px=10)
    server, *children = processes()
    assert len(children) == 2
    alone = server.memory_full_info().rss
    for child in children:
        assert child.memory_full_info().uss < alone / 2
    decoder.close()


def test_the_decoder_is_limited(tmp_path: Path) -> None:
    code = """
from retinue_console.pictures.child import limit_resources
limit_resources()
try:
    bytearray(2**32)
except MemoryError:
    print("no memory", flush=True)
open("file", "wb").write(bytes(10))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
    assert ended.stdout == b"no memory\n"
    assert (tmp_path / "file").stat().st_size == 0


def test_the_cache_removes_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, 1_000)
    ids = [UUID(int=number << 120) for number in range(12)]
    for number, image_id in enumerate(ids):
        cache.put(image_id, "view", bytes(100))
        for file in tmp_path.glob(f"*/{image_id}.*"):
            os.utime(file, (number, number))
    assert cache.image_ids() == set(ids[2:])
    assert sum(file.stat().st_size for file in tmp_path.glob("*/*")) <= 1_000
    cache.remove(ids[2:])
    assert list(tmp_path.glob("*/*")) == []


def test_a_part_is_cut_out_of_the_original(client: Client, add: Add) -> None:
    """A view of 1,600 pixels has a tenth of the dots."""
    for orientation in (1, 6):
        image = Image.new("RGB", (4_000, 3_000), "black")
        for x, y in product(range(0, 40, 2), range(0, 40, 2)):
            image.putpixel((2_000 + x, 1_500 + y), (255, 255, 255))
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        image.save(file, "PNG", exif=exif)
        image_id = add(f"dots {orientation}.png", file.getvalue())
        width, height = (4_000, 3_000) if orientation == 1 else (3_000, 4_000)
        left = 2_000 if orientation == 1 else 3_000 - 1_540
        top = 1_500 if orientation == 1 else 2_000
        sides = (left / width, top / height, (left + 40) / width, (top + 40) / height)
        asked = dict(zip(("left", "top", "right", "bottom"), sides, strict=True))
        said = client.get(f"/pictures/{image_id}/patch", params=asked)
        made = Image.open(io.BytesIO(said.content)).convert("L")
        assert made.size == (40, 40)
        bright = sum(value > 128 for value in made.tobytes())
        assert 300 <= bright <= 500  # of 400 dots
        assert client.get(f"/pictures/{image_id}/patch", params=asked).content == said.content
    nothing = asked | {"right": asked["left"], "bottom": asked["top"]}
    made = Image.open(io.BytesIO(client.get(f"/pictures/{image_id}/patch", params=nothing).content))
    assert made.size == (1, 1)
    for wrong in ({"left": "nan"}, {"right": "1.1"}):
        said = client.get(f"/pictures/{image_id}/patch", params=asked | wrong)
        assert said.status_code == 400
