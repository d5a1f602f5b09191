"""The picture of one image, and the table beside it."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_client.server import Reply, Server
from botocore.response import StreamingBody
from botocore.stub import Stubber
from click.testing import Result
from PIL import Image
from retinue_cli.data.export.sizes import size_of
from retinue_cli.options import s3_client
from retinue_sdk import ImageReference
from sqlalchemy import Engine, text

Cli = Callable[..., Result]
Photos = dict[str, ImageReference]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """S3 that answers what the test says, checked against AWS's own model."""
    client = boto3.client(
        "s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    monkeypatch.setattr(s3_client, "s3_client", lambda settings: client)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


def photograph(size: tuple[int, int] = (640, 480), **fields: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "grey").save(file, "JPEG", **fields)
    return file.getvalue()


def give(s3: Stubber, data: bytes, **asked: str) -> None:
    body = StreamingBody(io.BytesIO(data), len(data))
    answer = {"Body": body, "ContentLength": len(data), "ETag": '"e"'}
    s3.add_response("get_object", answer, {"Bucket": "photos", "VersionId": "v1", **asked})


@pytest.mark.parametrize("name", ["pets/cat.jpg", "s3://photos/pets/cat.jpg", "id"])
def test_a_picture(cli: Cli, photos: Photos, server: Server, name: str) -> None:
    server.default = Reply(body=photograph(), headers={"ETag": '"e"'})
    said = cli("show", str(photos["cat"].image_id) if name == "id" else name)
    assert "0.90" in said.stdout
    assert "dog" not in said.stdout  # an older run's
    with Image.open("cat.boxes.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (640, 480))
        colours = picture.convert("RGB").getcolors(1_000_000) or []
    assert len(colours) > 10
    assert [one.target for one in server.requests] == ["/photos/pets/cat.jpg?versionId=v1"]


def test_a_picture_has_the_format_of_its_name(
    cli: Cli, photos: Photos, server: Server, tmp_path: Path
) -> None:
    server.default = Reply(body=photograph(), headers={"ETag": '"e"'})
    for name, written in (("a.jpg", "JPEG"), ("b.WEBP", "WEBP")):
        cli("show", "cat.jpg", "--output", name)
        with Image.open(tmp_path / name) as picture:
            assert picture.format == written
    assert "must end in .png" in cli("show", "cat.jpg", "--output", "a.heic", exit_code=2).stderr
    assert "write the image as" in cli("show", "cat.jpg", "--output", "a.html", exit_code=2).stderr
    said = cli("show", "cat.jpg", "--output", "no/a.png", exit_code=1).stderr
    assert said.endswith("error: cannot write no/a.png: No such file or directory\n")


def test_a_file_of_ones_own(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    Path("mine.jpg").write_bytes(photograph())
    cli("show", "pets/cat.jpg", "--from", "mine.jpg", "--output", "boxes.png")
    assert Path("boxes.png").exists()


def test_attributes_models_and_damage_are_shown(cli: Cli, seed: Any) -> None:
    image = seed.image("sign.jpg", size_bytes=len(photograph()))
    attributes = '{"text": "EXIT", "corners": [1]}'
    sign = ("sign", 0.9, (0.1, 0.1, 0.5, 0.5))
    seed.run(image, sign, model="net-3", attributes=attributes, truncated=True)
    Path("mine.jpg").write_bytes(photograph())
    said = cli("show", "sign.jpg", "--from", "mine.jpg").stdout
    assert "text EXIT" in said
    assert "model net-3; the file ends early or is damaged" in said
    assert max(map(len, said.splitlines())) <= 80

    shown = json.loads(cli("show", "sign.jpg", "--from", "mine.jpg", "--json").stdout)
    assert (shown["picture"], shown["error"]) == ("sign.boxes.png", None)
    [run] = shown["runs"]
    assert (run["outcome"], run["model_version"]) == ("succeeded", "net-3")
    assert run["truncated"] is True
    assert run["detections"][0]["attributes"] == {"text": "EXIT", "corners": [1]}


def test_json_says_why_there_is_no_picture(cli: Cli, photos: Photos) -> None:
    shown = json.loads(cli("show", "broken.jpg", "--json", exit_code=1).stdout)
    assert shown["picture"] is None
    assert "no detector has processed it" in shown["error"]
    assert shown["runs"][0]["error_code"] == "corrupt_image"


def test_an_image_that_is_gone(cli: Cli, photos: Photos, server: Server) -> None:
    server.default = Reply(404, b"<Error><Code>NoSuchVersion</Code></Error>")
    said = cli("show", "empty.jpg", exit_code=1)
    assert "nothing found" in said.stdout
    assert "does not exist" in said.stderr
    assert not list(Path.cwd().glob("*.png"))


def test_detections_that_were_dropped_are_not_nothing(
    cli: Cli, photos: Photos, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM detections"))
    said = cli("show", "pets/cat.jpg", exit_code=1).stdout
    assert "2 found, dropped or archived since" in said
    assert "nothing found" not in said
    [run] = json.loads(cli("show", "pets/cat.jpg", "--json", exit_code=1).stdout)["runs"]
    assert (run["detection_count"], run["detections"]) == (2, [])
    assert "nothing found" in cli("show", "empty.jpg", exit_code=1).stdout
    said = cli("diff", "objects", "objects@1", exit_code=0).stdout
    assert "1 images seen by both sides" in said  # the one in which nothing was found


def test_an_image_that_is_too_large(
    cli: Cli, photos: Photos, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_MAX_IMAGE_PX", "1000")
    server.default = Reply(body=photograph(), headers={"ETag": '"e"'})
    assert "the limit is 1,000" in cli("show", "pets/cat.jpg", exit_code=1).stderr


def test_a_file_of_another_picture_is_refused(cli: Cli, photos: Photos) -> None:
    Path("other.jpg").write_bytes(photograph((480, 640)))
    said = cli("show", "pets/cat.jpg", "--from", "other.jpg", exit_code=1)
    assert "it has 480 × 640 px, and the image 640 × 480 px" in said.stderr
    assert not list(Path.cwd().glob("*.png"))


@pytest.mark.parametrize(
    ("etag", "size_bytes", "is_same"),
    [
        (hashlib.md5(photograph(), usedforsecurity=False).hexdigest(), 1, True),
        ("a" * 32, len(photograph()), True),  # of KMS: no MD5
        ("a" * 32, len(photograph()) + 1, False),
        (None, len(photograph()), True),
    ],
)
def test_a_file_is_the_picture_by_its_etag_or_its_size(
    cli: Cli, seed: Any, etag: str | None, size_bytes: int, is_same: bool
) -> None:
    seed.run(seed.image("dog.jpg", etag=etag, size_bytes=size_bytes))
    Path("mine.jpg").write_bytes(photograph())
    said = cli("show", "dog.jpg", "--from", "mine.jpg", exit_code=0 if is_same else 1)
    assert ("is not the picture that the detectors saw" in said.stderr) is not is_same


def test_runs_that_failed(cli: Cli, photos: Photos) -> None:
    said = cli("show", "broken.jpg", exit_code=1)
    assert "objects failed (corrupt_image): it is broken" in said.stdout
    assert "no detector has processed it successfully" in said.stderr
    assert "--from" not in said.stderr


def test_a_part_of_a_key(cli: Cli, photos: Photos) -> None:
    assert "s3://photos/broken.jpg" in cli("show", "Broke", exit_code=1).stdout
    several = cli("show", ".jpg", exit_code=2).stderr
    for key in ("pets/cat.jpg", "empty.jpg", "broken.jpg"):
        assert key in several
    assert "no image with 'dog' in its key" in cli("show", "dog", exit_code=2).stderr
    unknown = "00000000-0000-8000-8000-000000000000"
    assert f"no image with the id {unknown}" in cli("show", unknown, exit_code=2).stderr


def test_sizes_read_from_s3(cli: Cli, photos: Photos, s3: Stubber) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    header = photograph((300, 200), exif=turned)
    give(s3, header, Key="unknown.jpg", Range="bytes=0-262143")
    said = cli("export", "--format", "coco", "--read-sizes", "-")
    assert '"width":200,"height":300' in said.stdout
    assert "unknown size" not in said.stderr


def test_sizes_of_what_is_no_image() -> None:
    assert size_of(photograph()[:2_000]) == (640, 480)
    assert size_of(b"") is None
    assert size_of(b"\xff\xd8\xff") is None
