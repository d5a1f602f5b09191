"""Training on this machine, from the command line: textures are photographs cut into tiles."""

import json
import os
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fakes.command import run_retinue
from PIL import Image
from retinue_cli.data.ground_truth import Problems
from retinue_cli.output import training_progress
from retinue_cli.training.data import Thing, TrainingImage
from retinue_cli.training.local import card, check
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.training.probe import LinearProbe
from retinue_sdk import Findings
from retinue_sdk import Image as SdkImage
from retinue_sdk.training import Trained, TrainingProgress
from training.conftest import SIDE, tile

TEXTURES = ("brick", "grass", "gravel")

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs ``retinue`` in an empty folder; it must succeed unless an exit code is given."""
    monkeypatch.chdir(tmp_path)
    return run_retinue


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with eight tiles of each texture."""
    folder = tmp_path / "photos"
    for texture in TEXTURES:
        (folder / texture).mkdir(parents=True)
        for number in range(8):
            tile(texture, number).save(folder / texture / f"{number}.jpg", quality=92)
    return folder


def test_the_commands_of_the_page_work(run: Run, photos: Path) -> None:
    page = Path(__file__).parents[2] / "docs/train.md"
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    check, train, detect, again, promote = lines

    assert "nothing was trained" in run(*check).stdout
    said = run(*train).stdout
    assert "3 labels" in said
    folder = Path("models/ground/1")
    card = json.loads((folder / "card.json").read_text("utf-8"))
    assert card["f1"] >= 0.9
    assert f"F1 {card['f1']:.3f} on " in said

    # The figures follow from the answers, and no picture is in two parts.
    shown = run("models", "show", "ground").stdout
    assert shown.startswith(said[said.index("models/ground/1: F1 ") : said.index("try it:")])
    assert "the figures follow from the answers on the card" in shown
    parts = Counter(image["sha256"] for image in card["data"]["images"])
    assert set(parts.values()) == {1}
    assert {image["part"] for image in card["data"]["images"]} == {"train", "validation", "test"}
    assert card["base"]["licence"] == "Apache-2.0"
    assert list((folder / "samples").glob("hit-*.jpg"))

    wrong = card | {"f1": 1.5}
    (folder / "card.json").write_text(json.dumps(wrong), "utf-8")
    assert "are not right" in run("models", "show", "ground/1", exit_code=1).stderr
    (folder / "card.json").write_text(json.dumps(card), "utf-8")

    tile("grass", 12).save("unseen.jpg")
    [look] = json.loads(run(*detect, "--json").stdout)
    assert [one["label"] for one in look["detections"]] == ["grass"]
    detector = OnnxLabelDetector(OnnxLabelOptions(model=folder / "model.onnx"))
    assert detector.model_version == f"ground-1-{card['sha256'][:12]}"

    # The same data again is the same version; more data is the next one.
    assert "ground/1 was trained from the same data" in run(*again).stdout
    tile("gravel", 12).save(photos / "gravel" / "12.jpg", quality=92)
    assert "images since ground/1: 1 new, 0 removed, " in run(*again).stdout
    Path("pool.env").write_text(f"MODEL=/srv/{folder}/model.onnx\n", "utf-8")
    run(*promote, "--force", "a test")
    assert Path("pool.env").read_text("utf-8") == "MODEL=/srv/models/ground/2/model.onnx\n"


def test_lines_without_a_terminal_have_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_progress, "LINE_SECONDS", 0.0)
    with training_progress.training_progress() as show:
        for done in range(1, 4):
            show(TrainingProgress("epochs", done, 300, 0.5, 0.25))
    last = capfd.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"epochs: 3/300, loss 0\.5000, F1 0\.250, left: \d+:\d\d:\d\d", last)


def test_ctrl_c_before_there_is_a_model(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(LinearProbe):
        def train(self, *args: Any, **kwargs: Any) -> Trained:
            signal.raise_signal(signal.SIGINT)
            return super().train(*args, **kwargs)

    monkeypatch.setattr(OnnxLabelDetector, "trainer", Interrupted)
    ended = run("models", "train", "ground", "--on", "local", "--from", photos, exit_code=130)
    assert "stopped before there was a model; run the same command to continue" in ended.stdout
    assert not Path("models/ground/1").exists()


def test_ctrl_c_while_the_version_is_written_keeps_it(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "draw_samples", lambda *_: signal.raise_signal(signal.SIGINT))
    ended = run("models", "train", "ground", "--on", "local", "--from", photos)
    assert "stopping; Ctrl-C again ends the command immediately" in ended.stdout
    assert "models/ground/1: F1 " in ended.stdout
    assert sorted(one.name for one in Path("models/ground/1").iterdir()) == [
        "card.json",
        "model.onnx",
    ]


def test_labels_are_unified_with_those_of_the_test_images(run: Run, photos: Path) -> None:
    for number in range(9, 14):
        for texture in TEXTURES:
            folder = photos.parent / "test" / texture.title()
            folder.mkdir(parents=True, exist_ok=True)
            tile(texture, number).save(folder / f"{number}.jpg", quality=92)
    train = ["models", "train", "ground", "--on", "local", "--from", photos, "--test", "test"]
    told = json.loads(run(*train, "--dry-run", "--json").stdout)
    assert told["labels"] == list(TEXTURES)
    assert told["test"] == 15
    assert told["left_out"] == {}
    assert told["renamed"] == {"label that differs from another only by case or spaces": 15}


def test_wrong_data_is_named_and_left_out(run: Run, photos: Path) -> None:
    (photos / "grass" / "broken.jpg").write_bytes(b"no picture")
    whole = (photos / "grass" / "0.jpg").read_bytes()
    (photos / "grass" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "grass" / "copy.jpg").write_bytes(whole)
    (photos / "gravel" / "1.jpg").write_bytes((photos / "brick" / "1.jpg").read_bytes())
    for number in range(8):
        smaller = tile("brick", number).resize((96, 96))
        smaller.save(photos / "brick" / f"small{number}.jpg", quality=70)
    (photos / "Gravel").mkdir()
    tile("gravel", 9).save(photos / "Gravel" / "9.jpg")
    (photos / "brick" / "old").mkdir()
    tile("brick", 11).save(photos / "brick" / "old" / "11.jpg")
    (photos / ".DS_Store").write_bytes(b"Bud1")
    (photos / "grass" / "more").symlink_to(photos / "brick")
    os.mkfifo(photos / "grass" / "pipe.jpg")
    (photos / "horse").mkdir()
    tile("grass", 10).save(photos / "horse" / "10.jpg")
    train = ["models", "train", "ground", "--on", "local", "--from", photos]
    refused = run(*train, "--strict", exit_code=2).stderr
    for problem in (
        "1 × file that isn't directly in a label's folder: brick/old/11.jpg",
        "1 × link to a folder, which isn't followed: grass/more",
        "1 × file that isn't a regular one: grass/pipe.jpg",
        "2 × image that cannot be read: grass/broken.jpg (",
        "1 × image that is a copy of another: grass/0.jpg, grass/copy.jpg",
        "1 × picture that is there more than once, with different annotations: brick/1.jpg,",
        "renamed:\n1 × label that differs from another only by case or spaces: Gravel as gravel",
        "1 × label with fewer than 5 images: horse (1)",
        "× image that nearly equals one to validate or test with: brick/",
    ):
        assert problem in refused
    assert "nothing was trained" in refused
    assert not Path("models").exists()
    told = json.loads(run(*train, "--dry-run", "--json").stdout)
    assert told["labels"] == list(TEXTURES)
    assert told["renamed"] == {"label that differs from another only by case or spaces": 1}
    images = told["train"] + told["validation"] + told["test"]
    near = told["left_out"]["image that nearly equals one to validate or test with"]
    # 37 files: 2 unreadable, 1 copy, 2 with contradictions, 1 of a rare label.
    assert images == 37 - 6 - near
    assert near > 0


def test_a_label_is_validated_with_images_unlike_those_of_the_test(photos: Path) -> None:
    def seen(folder: Path) -> list[check.Seen]:
        images = [
            TrainingImage("", str(path), [Thing(path.parent.name, None)], path=path)
            for path in sorted(folder.glob("*/*.jpg"))
        ]
        return check.look(images, lambda one: Path(one.key).read_bytes(), Problems())

    test = photos.parent / "test"
    for texture in TEXTURES:
        (test / texture).mkdir(parents=True)
        for number in range(9, 12):
            tile(texture, number).save(test / texture / f"{number}.jpg")
    before = check.split(seen(photos), seen(test), Problems())
    validated = [one for one in before.validation if one.labels == {"brick"}]
    for one in validated:
        with Image.open(one.image.key) as picture:
            picture.resize((96, 96)).save(test / "brick" / Path(one.image.key).name)
    problems = Problems()
    parts = check.split(seen(photos), seen(test), problems)
    assert problems.total == len(validated) > 0
    for part in parts.named.values():
        assert {label for one in part for label in one.labels} == set(TEXTURES)


def test_the_answers_on_the_card_are_those_of_the_detector(run: Run, photos: Path) -> None:
    for path in photos.glob("*/*.jpg"):
        with Image.open(path) as picture:
            picture.resize((1000, 800)).save(path, quality=92)
    run("models", "train", "ground", "--on", "local", "--from", photos)
    card = json.loads(Path("models/ground/1/card.json").read_text("utf-8"))
    detector = OnnxLabelDetector(
        OnnxLabelOptions(model=Path("models/ground/1/model.onnx"), threshold=0.05)
    )
    detector.start()
    for answer in card["answers"]:
        [result] = detector.detect([SdkImage.from_file(photos / answer["name"])])
        assert isinstance(result, Findings)
        assert {one.label: one.confidence for one in result.detections} == {
            one["label"]: pytest.approx(one["confidence"], abs=1e-5) for one in answer["found"]
        }


def test_boxes_are_checked_and_their_contents_learned(run: Run, tmp_path: Path) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    boxes = [[0, 0, SIDE, SIDE], [SIDE, 0, SIDE, SIDE]]
    for number in range(10):
        picture = Image.new("RGB", (2 * SIDE, SIDE))
        for side, texture in enumerate(("brick", "grass")):
            picture.paste(tile(texture, number), (side * SIDE, 0))
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": side + 1,
                 "bbox": boxes[side]}
            )  # fmt: skip
        picture.save(tmp_path / f"{number}.png")
        size = {"width": picture.width, "height": picture.height}
        images.append({"id": number, "file_name": f"{number}.png", **size})
    annotations[0]["bbox"] = [100, 0, 300, 20]
    annotations[2]["bbox"] = [10, 10, 0.2, 20]
    images[2] |= {"width": 999}
    categories = [{"id": 1, "name": "brick"}, {"id": 2, "name": "grass"}]
    file = {"images": images, "annotations": annotations, "categories": categories}
    Path("truth.json").write_text(json.dumps(file), "utf-8")
    train = ["models", "train", "parts", "--on", "local", "--from", "truth.json", "--crops"]
    refused = run(*train, "--strict", exit_code=2).stderr
    for problem in (
        "1 × box outside its image: annotation 0",
        "1 × image in which not everything is marked",
        "1 × image with an empty box: 1.png: brick",
        "1 × image whose size differs from its annotations: 2.png",
    ):
        assert problem in refused
    card = json.loads(run(*train, "--json").stdout)
    assert card["f1"] == 1
    assert {one["label"] for one in card["labels"]} == {"brick", "grass"}
    assert "--crops needs --kind labels" in run(*train, "--kind", "objects", exit_code=2).stderr


def test_all_versions_of_a_model_learn_the_same(run: Run, photos: Path) -> None:
    train = ["models", "train", "ground", "--on", "local"]
    run(*train, "--from", photos)
    assert "to learn from" in run(*train, "--kind", "labels", "--dry-run").stdout
    for other, learned in (
        (["--kind", "objects"], "objects with boxes"),
        (["--crops"], "labels of what is inside boxes"),
    ):
        refused = run(*train, *other, exit_code=2).stderr
        assert (
            "ground/1 learned labels of whole images, and all versions of a model learn the same: "
            f"choose another name to learn {learned}" in refused
        )


def test_images_of_one_photograph_are_in_one_part(run: Run, tmp_path: Path) -> None:
    categories = [{"id": number, "name": name} for number, name in enumerate(TEXTURES)]
    images, annotations = [], []
    for number in range(48):
        name = TEXTURES[number % 3]
        tile(name, number // 3).save(tmp_path / f"{number}.png")
        # Four parts of each texture's photograph, so that there are twelve photographs.
        photograph = f"{name} {number // 3 % 4}"
        images.append({"id": number, "file_name": f"{number}.png", "photograph": photograph})
        annotations.append(
            {"id": number, "image_id": number, "category_id": number % 3,
             "bbox": [0, 0, SIDE, SIDE]}
        )  # fmt: skip
    file = {"images": images, "annotations": annotations, "categories": categories}
    for name, shown in (("all", images), ("test", images[:3]), ("rest", images[3:])):
        numbers = {one["id"] for one in shown}
        kept = [one for one in annotations if one["image_id"] in numbers]
        file |= {"images": shown, "annotations": kept}
        Path(f"{name}.json").write_text(json.dumps(file), "utf-8")
    train = ["models", "train", "parts", "--on", "local", "--from"]
    card = run_and_read(run, *train, "all.json")
    of = {f"{one['id']}.png": one["photograph"] for one in images}
    parts = {}
    for image in card["data"]["images"]:
        parts.setdefault(image["part"], []).append(of[image["name"]])
    assert sum(map(len, parts.values())) == 48
    assert len(parts["validation"]) >= 8
    photographs = [set(some) for some in parts.values()]
    assert len(photographs) == 3
    assert sum(map(len, photographs)) == len(set().union(*photographs)) == 12

    given = [*train, "rest.json", "--test", "test.json"]
    refused = run(*given, "--strict", exit_code=2).stderr
    assert "9 × image of a photograph that is in the test images: 12.png (brick 0)" in refused
    card = run_and_read(run, *given)
    assert len(card["data"]["images"]) == 48 - 9


def run_and_read(run: Run, *arguments: object) -> Any:
    """Train, and return the newest card."""
    run(*arguments)
    newest = max(Path("models/parts").glob("[0-9]*"), key=lambda one: int(one.name))
    return json.loads((newest / "card.json").read_text("utf-8"))


def version(number: int, f1: float) -> None:
    folder = Path("models/birds") / str(number)
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({"f1": f1}), "utf-8")
    (folder / "model.onnx").write_bytes(b"model")


def test_promote_refuses_a_lower_f1_records_the_reason_and_goes_back(run: Run) -> None:
    for number, f1 in ((1, 0.9), (2, 0.8), (10, 0.95)):
        version(number, f1)
    pool = Path("pool.env")
    text = "MODEL=/srv/models/birds/{}/model.onnx\nOTHER=/srv/models/other-birds/7/model.onnx\n"
    pool.write_text(text.format(1), "utf-8")
    promote = ["models", "promote"]
    config = ["--config", pool]

    refused = run(*promote, "birds/2", *config, exit_code=2).stderr
    assert "the F1 of birds/2 is 0.800, that of the version in use is 0.900" in refused
    assert pool.read_text("utf-8") == text.format(1)
    said = run(*promote, "birds/2", *config, "--force", "night images").stdout
    assert "`retinue backfill s3://… --again` prints the cost before" in said
    assert pool.read_text("utf-8") == text.format(2)
    run(*promote, "birds", *config, "--apply", "cp pool.env applied.env")
    assert Path("applied.env").read_text("utf-8") == text.format(10)
    failed = run(*promote, "birds", "--back", *config, "--apply", "false", exit_code=1).stderr
    assert "was restored" in failed
    assert pool.read_text("utf-8") == text.format(10)
    run(*promote, "birds", "--back", *config)
    assert pool.read_text("utf-8") == text.format(2)
    lines = Path("models/birds/promotions.jsonl").read_text("utf-8").splitlines()
    switches = [json.loads(line) for line in lines]
    assert [(one["before"], one["after"]) for one in switches] == [(1, 2), (2, 10), (10, 2)]
    assert switches[0]["reason"] == "night images"

    assert "names birds/2 already" in run(*promote, "birds/2", *config, exit_code=2).stderr
    assert "its versions are: 1, 2, 10" in run(*promote, "birds/3", *config, exit_code=2).stderr
    pool.write_text("MODEL=\n", "utf-8")
    assert "names 0 models of birds" in run(*promote, "birds", *config, exit_code=2).stderr


def test_options_of_the_other_place_are_refused(run: Run) -> None:
    train = ["models", "train", "birds"]
    assert "--yes has no meaning" in run(*train, "--on", "local", "--yes", exit_code=2).stderr
    assert "--crops has no meaning" in run(*train, "--crops", exit_code=2).stderr
    first = run(*train, "--on", "local", exit_code=2).stderr
    assert "birds has no version yet: set --from" in first
