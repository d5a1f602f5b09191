"""Exports open in the tools they are meant for, and nothing is lost in silence."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, Any
from uuid import UUID
from xml.etree import ElementTree as ET

import numpy as np
import psycopg
import pytest
from aws_client.server import Reply, Server
from click.testing import Result
from fakes.videos import corners, encoded
from fakes.waiting import eventually
from psycopg import sql
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from retinue_cli.data.export import destination, parquet, write_csv
from retinue_cli.options import frame_times
from retinue_history.analysis.exported_rows import DETECTION_COLUMNS
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import snapshot
from retinue_sdk import ImageReference
from retinue_sdk.masks import encode_mask

Cli = Callable[..., Result]
Photos = dict[str, ImageReference]
FUR = 'so-called "fur",\nsoft'


def test_csv(cli: Cli, photos: Photos) -> None:
    result = cli("export", "--format", "csv", "out.csv")
    assert "wrote 6 detections to out.csv" in result.stderr
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == DETECTION_COLUMNS
    assert sorted(row["label"] for row in rows) == ["Scene", "cat", "cat", "cat", "cat", FUR]
    [scene] = [row for row in rows if row["label"] == "Scene"]
    assert (scene["box_left"], scene["key"], scene["width_px"]) == ("", "odd=ä.jpg", "640")


def test_jsonl_to_standard_output(cli: Cli, photos: Photos) -> None:
    result = cli("export", "--format", "jsonl", "-", "--all")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 7
    [fur] = [row for row in rows if row["label"] == FUR]
    assert fur["confidence"] == 0.5
    assert fur["attributes"] == {}
    assert UUID(fur["image_id"]) == photos["cat"].image_id


def test_parquet_in_duckdb_and_pandas(cli: Cli, photos: Photos) -> None:
    import duckdb  # here, as with pandas it takes a second of every process that runs tests
    import pandas as pd

    cli("export", "--format", "parquet", "out.parquet")
    counted = duckdb.sql(
        "SELECT label, count(*), min(box_left), max(detected_at) < now() + INTERVAL 10 YEAR "
        "FROM 'out.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert counted == [
        ("Scene", 1, None, True), ("cat", 4, 0.0, True), (FUR, 1, 0.0, True)
    ]  # fmt: skip
    frame = pd.read_parquet("out.parquet")
    assert tuple(frame.columns) == DETECTION_COLUMNS
    assert str(frame["detected_at"].dt.tz) == "UTC"
    assert frame["confidence"].max() == 1.0
    assert frame["deleted_at"].isna().all()
    assert set(frame["s3_uri"]) >= {"s3://photos/odd=ä.jpg"}


def test_parquet_of_nothing_and_of_several_row_groups(
    cli: Cli, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb
    import pandas as pd

    cli("export", "--format", "parquet", "none.parquet", "--label", "unicorn")
    assert len(pd.read_parquet("none.parquet")) == 0
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 2)
    cli("export", "--format", "parquet", "groups.parquet")
    groups = duckdb.sql(
        "SELECT count(DISTINCT row_group_id) FROM parquet_metadata('groups.parquet')"
    )
    assert groups.fetchall() == [(3,)]


def test_coco_in_pycocotools(cli: Cli, photos: Photos) -> None:
    result = cli("export", "--format", "coco", "out.json")
    assert "wrote 3 detections in 3 images (1 without any)" in result.stderr
    for left_out in (
        "1 image of unknown size",
        "1 detection in an image of unknown size",
        "1 detection without a box",
        "1 detection whose box is outside the image",
    ):
        assert f"left out: {left_out}" in result.stderr
    coco = COCO("out.json")
    images = {image["file_name"]: image for image in coco.dataset["images"]}
    assert set(images) == {"pets/cat.jpg", "empty.jpg", "odd=ä.jpg"}
    cat = images["pets/cat.jpg"]
    assert UUID(cat["retinue_image_id"]) == photos["cat"].image_id
    [found] = coco.loadAnns(coco.getAnnIds(cat["id"], catIds=coco.getCatIds(["cat"])))
    assert found["bbox"] == [64.0, 48.0, 320.0, 240.0]
    assert found["score"] == 0.9
    [cut] = coco.loadAnns(coco.getAnnIds(images["odd=ä.jpg"]["id"]))
    assert cut["bbox"] == pytest.approx([576, 0, 64, 480])

    evaluation = COCOeval(coco, coco.loadRes(coco.dataset["annotations"]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)  # what is compared with itself agrees


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_masks_become_segmentations_of_the_size_of_the_image(cli: Cli, seed: Any) -> None:
    stored = {"mask": encode_mask(np.array([[False, True], [False, True], [False, False]]))}
    for key, attributes in (("a.jpg", stored), ("b.jpg", {"mask": {"size": [9]}})):
        box = (0.5, 0.0, 0.5, 2 / 3)
        seed.run(seed.image(key), ("person", 1.0, box), attributes=json.dumps(attributes))
    cli("export", "--format", "coco", "out.json")
    coco = COCO("out.json")
    masked, unreadable = coco.loadAnns(coco.getAnnIds())
    mask = coco.annToMask(masked)
    assert mask.shape == (480, 640)
    assert mask[:320, 320:].all()
    assert mask.sum() == masked["area"] == 320 * 320
    assert "segmentation" not in unreadable


def test_body_points_become_keypoints_of_the_category(cli: Cli, seed: Any) -> None:
    places = {"nose": (0.5, 0.25), "left_eye": (0.6, 0.2), "left_ear": (0.0, 0.0)}
    points = [
        {"type": name, "x": x, "y": y, "confidence": 0.9 if x else 0.0}
        for name, (x, y) in places.items()
    ]
    for key, stored in (("a.jpg", points), ("b.jpg", points[:2]), ("c.jpg", 3)):
        attributes = json.dumps({"keypoints": stored})
        seed.run(seed.image(key), ("person", 1.0, (0.1, 0.1, 0.5, 0.5)), attributes=attributes)
    cli("export", "--format", "coco", "out.json")
    coco = COCO("out.json")
    found = {coco.imgs[one["image_id"]]["file_name"]: one for one in coco.anns.values()}
    assert found["a.jpg"]["keypoints"] == [320, 120, 2, 384, 96, 2, 0, 0, 0]
    assert found["a.jpg"]["num_keypoints"] == 2
    assert "keypoints" not in found["b.jpg"] | found["c.jpg"]
    [person] = coco.loadCats([found["a.jpg"]["category_id"]])
    assert (person["keypoints"], person["skeleton"]) == (list(places), [[1, 2], [2, 3]])


def test_coco_categories_do_not_depend_on_what_is_selected(cli: Cli, photos: Photos) -> None:
    cli("export", "--format", "coco", "all.json")
    cli("export", "--format", "coco", "few.json", "--label", "cat")
    whole, few = (json.loads(Path(name).read_text("utf-8")) for name in ("all.json", "few.json"))
    assert whole["categories"] == few["categories"]
    theirs = {"categories": [{"id": 17, "name": "cat", "supercategory": "animal"}]}
    Path("theirs.json").write_text(json.dumps(theirs), "utf-8")
    cli("export", "--format", "coco", "kept.json", "--categories", "theirs.json")
    kept = {
        one["name"]: one for one in json.loads(Path("kept.json").read_text("utf-8"))["categories"]
    }
    assert kept["cat"] == {"id": 17, "name": "cat", "supercategory": "animal"}
    assert min(one["id"] for name, one in kept.items() if name != "cat") == 18
    Path("theirs.json").write_text("[]", "utf-8")
    cli("export", "--format", "coco", "-", "--categories", "theirs.json", exit_code=2)


def test_a_manifest_with_boxes(cli: Cli, photos: Photos) -> None:
    result = cli("export", "--format", "custom-labels-manifest", "-")
    lines = {line["source-ref"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert set(lines) == {
        "s3://photos/pets/cat.jpg", "s3://photos/empty.jpg", "s3://photos/odd=ä.jpg"
    }  # fmt: skip
    cat = lines["s3://photos/pets/cat.jpg"]
    assert cat["bounding-box"]["image_size"] == [{"width": 640, "height": 480, "depth": 3}]
    boxes, said = cat["bounding-box"]["annotations"], cat["bounding-box-metadata"]
    assert [said["class-map"][str(box["class_id"])] for box in boxes] == ["cat", FUR]
    assert boxes[0] | {"class_id": 0} == {
        "class_id": 0, "left": 64, "top": 48, "width": 320, "height": 240
    }  # fmt: skip
    assert said["objects"] == [{"confidence": 0.9}, {"confidence": 0.5}]
    assert (said["type"], said["human-annotated"]) == ("groundtruth/object-detection", "no")
    assert lines["s3://photos/empty.jpg"]["bounding-box"]["annotations"] == []


def test_a_manifest_with_labels(cli: Cli, photos: Photos) -> None:
    result = cli("export", "--format", "custom-labels-manifest", "--annotation-type", "labels", "-")
    lines = {line["source-ref"]: line for line in map(json.loads, result.stdout.splitlines())}
    odd = lines["s3://photos/odd=ä.jpg"]
    assert (odd["label-1"], odd["label-1-metadata"]["class-name"]) == (1, "Scene")
    assert odd["label-2-metadata"]["confidence"] == 0.8
    assert odd["label-2-metadata"]["type"] == "groundtruth/image-classification"
    assert "left out: 1 image without a label" in result.stderr


FILTERS: list[tuple[list[str], list[str]]] = [
    (["--detector", "other"], []),
    (["--label", "cat", "--min-confidence", "0.9"], ["cat", "cat"]),
    (["--label", "dog"], []),
    (["--label", "dog", "--all"], ["dog"]),
    (["--label", "dog", "--label", "Scene", "--all"], ["Scene", "dog"]),
    (["--prefix", "pets/"], ["cat", FUR]),
    (["--prefix", "s3://photos/odd"], ["Scene", "cat", "cat"]),
    (["--prefix", "s3://elsewhere"], []),
    (
        ["--image", "unknown.jpg", "--image", "s3://photos/odd=ä.jpg"],
        ["Scene", "cat", "cat", "cat"],
    ),
    (["--since", "2026-01-01T15:00+01:00", "--until", "2026-01-01T15:00"], ["cat", FUR]),
    (["--since", "2h"], []),
]  # fmt: skip


def test_filters(cli: Cli, photos: Photos) -> None:
    for options, labels in FILTERS:
        result = cli("export", "--format", "csv", "-", *options)
        rows = csv.DictReader(io.StringIO(result.stdout, newline=""))
        assert sorted(row["label"] for row in rows) == labels, options


WRONG_FILTERS = [
    ("--since", "soon"),
    ("--image", "s3://photos"),
    ("--prefix", "s3://"),
    ("--min-confidence", "2"),
]


def test_wrong_filters(cli: Cli, history_url: str) -> None:
    for option, value in WRONG_FILTERS:
        cli("export", "--format", "csv", "out.csv", option, value, exit_code=2)
        assert not Path("out.csv").exists()


def test_no_half_written_file(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    Path("out").write_text("as before", "utf-8")

    def fail() -> None:
        with destination("out") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Path("out").read_text("utf-8") == "as before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    cli("export", "--format", "csv", "missing/out.csv", exit_code=1)
    cli("export", "--format", "csv", "/dev/null")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_part_of_a_file(
    cli: Cli, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupted(_: object, __: object, file: IO[bytes], ___: object) -> None:
        file.write(b"half")
        assert len(list(tmp_path.iterdir())) == 1
        signal.raise_signal(number)

    monkeypatch.setattr("retinue_cli.data.export.write_csv", interrupted)
    before = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored
    try:
        ended = cli("export", "out.csv", exit_code=143)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.stderr.strip() == "error: ended by SIGTERM"
    assert list(tmp_path.iterdir()) == []


def test_the_part_of_a_killed_export_is_replaced(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    program = """
import os, signal, sys
from retinue_cli.data.export import destination
with destination(sys.argv[1]) as file:
    file.write(b"more than an export of six detections" * 100)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    name = "ä" * 127  # as long as a name can be
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, name], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with destination("other") as other:
        cli("export", "--format", "csv", name)
        cli("export", "--format", "csv", "again.csv")
        other.write(b"other")
    assert {path.name for path in tmp_path.iterdir()} == {name, "again.csv", "other"}
    assert Path(name).read_bytes() == Path("again.csv").read_bytes()


def test_two_exports_to_one_file_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def write() -> None:
        with destination("out") as file:
            file.write(b"second")

    with destination("out") as file:
        [draft] = tmp_path.iterdir()
        (thread := Thread(target=write)).start()
        opened = Path("/proc/self/fd")
        eventually(lambda: [*map(os.path.realpath, opened.iterdir())].count(str(draft)) == 2)
        file.write(b"first, and longer")
    thread.join()
    assert Path("out").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_memory_does_not_grow_with_the_history(cli: Cli, history_url: str, engine: Any) -> None:
    """Twenty thousand rows pass through, half of them words of their own, and few are held."""
    import tracemalloc

    with engine.begin() as connection:
        connection.exec_driver_sql(
            """
            INSERT INTO images (image_id, bucket, key, version, versioned, uploaded_at,
                last_uploaded_at, width_px, height_px)
            SELECT image_id('b', n::text, 'v'), 'b', n::text, 'v', true, now(), now(), 640, 480
            FROM generate_series(1, 200) AS n
            """
        )
        connection.exec_driver_sql(
            """
            INSERT INTO runs (image_id, detector, detector_version, fingerprint, event_id, outcome,
                retryable, started_at, duration_ms, detection_count, billed_units, price_usd)
            SELECT image_id, 'd', '1', 'f', 'e', 'succeeded', false, now(), 1, 100, 0, 0 FROM images
            """
        )
        connection.exec_driver_sql(
            """
            INSERT INTO detections (run_id, image_id, ordinal, kind, label, confidence, box_left,
                box_top, box_width, box_height, detected_at)
            SELECT run_id, image_id, n, CASE WHEN n > 50 THEN 'text' ELSE 'label' END,
                CASE WHEN n > 50 THEN 'read ' || run_id || ' ' ELSE 'l' END || n,
                0.5, 0.1, 0.1, 0.5, 0.5, started_at
            FROM runs CROSS JOIN generate_series(1, 100) AS n
            """
        )
    tracemalloc.start()
    cli("export", "--format", "coco", "out")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Path("out").stat().st_size > 3_000_000
    whole = json.loads(Path("out").read_text("utf-8"))
    assert [one["name"] for one in whole["categories"] if one["supercategory"] == "text"] == [
        "text"
    ]
    assert "read 1 51" in {one.get("retinue_text") for one in whole["annotations"]}
    assert peak_bytes < 4 * 2**20


def test_one_moment_of_the_history(history_url: str, seed: Any, photos: Photos) -> None:
    """What is recorded while an export runs is not half in it."""
    with snapshot(history_url) as history:
        seed.run(seed.image("new.jpg"), ("cat", 0.5, (0, 0, 1, 1)))
        written = write_csv(history, Selection(), io.BytesIO(), lambda _: None)
    assert written.detections == 6


def test_a_readers_export_may_take_longer_than_its_queries(
    history_url: str, as_user: Callable[[str, str], str]
) -> None:
    limits = sql.SQL(
        "SELECT current_setting('statement_timeout'), "
        "current_setting('idle_in_transaction_session_timeout')"
    )
    reader = as_user(history_url, "retinue_reader")
    with psycopg.connect(reader) as connection:
        assert connection.execute(limits).fetchone() == ("30s", "1min")
    with snapshot(reader) as history:
        assert list(history.rows(limits)) == [("0", "0")]


@pytest.fixture
def clip(seed: Any) -> ImageReference:
    """Return a video with a dog that runs, a moment without a box, and a cat outside."""
    video = seed.image("clips/dog & cat.mp4")
    seed.video(video, duration_ms=10_000, frame_rate=25.0)
    path = [[1_000, 0.0, 0.5, 0.25, 0.25], [2_000, 0.5, 0.5, 0.25, 0.25]]
    seed.appearances(
        video,
        ("dog", 0.9, (0.0, 0.5, 0.25, 0.25), json.dumps({"path": path}), 1_000, 2_000, 7),
        ("Beach\n<b>", 0.5, None, "{}", 9_999, 9_999, None),
        ("cat", 0.4, (1.5, 0.5, 0.1, 0.1), "{}", 0, 500, None),
    )
    return video


def test_captions(cli: Cli, clip: ImageReference, photos: Photos) -> None:
    result = cli("export", "clip.vtt")
    assert "left out: 4 images without times" in result.stderr
    assert Path("clip.vtt").read_text("utf-8") == (
        "WEBVTT\n\nNOTE s3://photos/clips/dog & cat.mp4\n"
        "\n00:00:00.000 --> 00:00:00.500\ncat 40%\n"
        "\n00:00:01.000 --> 00:00:02.000\ndog #7 90%\n"
        "\n00:00:09.999 --> 00:00:10.499\nBeach &lt;b&gt; 50%\n"
    )


def cvat_frames(file: str) -> list[tuple[str | None, ...]]:
    [track] = ET.parse(file).getroot().findall("track")
    assert track.attrib["label"] == "dog"
    return [(box.get("frame"), box.get("outside"), box.get("xtl")) for box in track]


def test_tracks_in_cvat(cli: Cli, clip: ImageReference, server: Server) -> None:
    """Twelve frames at uneven times, so that multiplying by the mean rate would miss all."""
    times_ms = [0, 40, 80, 120, 160, 200, 1_000, 1_010, 1_020, 2_000, 9_000, 9_960]
    data = encoded([corners()] * len(times_ms), times_ms=times_ms, options={"bf": "3"})
    server.default = Reply(206, data, {"ETag": '"e"', "Content-Range": f"bytes 0-1/{len(data)}"})
    result = cli("export", "clip.xml")
    assert "warning" not in result.stderr
    assert ET.parse("clip.xml").getroot().findtext("meta/task/size") == "12"
    assert cvat_frames("clip.xml") == [
        ("6", "0", "0.00"),
        ("9", "0", "320.00"),
        ("10", "1", "320.00"),
    ]


def test_estimated_tracks_in_cvat(
    cli: Cli, clip: ImageReference, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.default = Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
    result = cli("export", "clip.xml")
    assert "warning: frame numbers are estimates from 25 frames a second" in result.stderr
    assert "left out: 2 detections without a box in the picture" in result.stderr
    root = ET.parse("clip.xml").getroot()
    assert root.findtext("meta/task/size") == "250"
    assert root.findtext("meta/task/original_size/width") == "640"
    estimated = [("25", "0", "0.00"), ("50", "0", "320.00"), ("51", "1", "320.00")]
    assert cvat_frames("clip.xml") == estimated
    monkeypatch.setattr(frame_times, "find_spec", lambda _: None)
    assert "install retinue-workers[video]" in cli("export", "clip.xml").stderr
    assert cvat_frames("clip.xml") == estimated


def test_videos_in_the_manner_of_coco(cli: Cli, clip: ImageReference, photos: Photos) -> None:
    cli("export", "--format", "coco-video", "clips.json")
    exported = json.loads(Path("clips.json").read_text("utf-8"))
    [video] = exported["videos"]
    assert (video["file_name"], video["duration_ms"], video["width"]) == (clip.key, 10_000, 640)
    names = {one["id"]: one["name"] for one in exported["categories"]}
    found = [
        (names[one["category_id"]], one["start_ms"], one["end_ms"], one["track_id"], one["bbox"])
        for one in exported["annotations"]
    ]
    assert found == [
        ("cat", 0, 500, None, None),
        ("dog", 1_000, 2_000, 7, [0.0, 240.0, 160.0, 120.0]),
        ("Beach\n<b>", 9_999, 9_999, None, None),
    ]
    assert exported["annotations"][1]["path"] == [
        [1_000, 0.0, 240.0, 160.0, 120.0],
        [2_000, 320.0, 240.0, 160.0, 120.0],
    ]


def test_formats_of_images_leave_videos_out_and_rows_have_times(
    cli: Cli, clip: ImageReference
) -> None:
    result = cli("export", "--format", "coco", "images.json")
    assert json.loads(Path("images.json").read_text("utf-8"))["images"] == []
    assert "left out: 1 video, for which other formats have times" in result.stderr
    cli("export", "rows.jsonl")
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text("utf-8").splitlines()]
    assert sorted(row["start_ms"] for row in rows) == [0, 1_000, 9_999]


def test_a_format_of_one_video_names_the_remedy(cli: Cli, seed: Any, photos: Photos) -> None:
    assert "no video is selected" in cli("export", "none.vtt", exit_code=2).stderr
    for name in ("a.mp4", "b.mp4"):
        video = seed.image(name)
        seed.video(video, duration_ms=1_000, frame_rate=25.0)
        seed.appearances(video, ("dog", 0.9, None, "{}", 0, 0, None))
    assert "choose it by --image" in cli("export", "two.xml", exit_code=2).stderr
