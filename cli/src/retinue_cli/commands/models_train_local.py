"""``retinue models train --on local``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.commands.models_show import print_scores
from retinue_cli.options.json_flag import Say
from retinue_cli.output.progress import progress
from retinue_cli.output.words import count
from retinue_cli.training.sources import HISTORY

if TYPE_CHECKING:
    from retinue_sdk import S3Uri
    from types_boto3_s3 import S3Client

    from retinue_cli.data.ground_truth import Problems
    from retinue_cli.training.data import TrainingImage
    from retinue_cli.training.local.train import Kind
    from retinue_cli.training.local.versions import Version, Versions

LEARNED: "dict[tuple[Kind, bool], str]" = {
    ("labels", False): "labels of whole images",
    ("labels", True): "labels of what is inside boxes",
    ("objects", False): "objects with boxes",
}
"""What a model learns, by its kind and whether it learns the contents of boxes."""


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of the command.

    Attributes:
        name: The model's name.
        kind: Labels of images, or objects with boxes.
        source: The images; ``None`` for the source of the last version.
        corrections: Truth or runs that replace the source's annotations.
        test_source: Images to test with.
        home: Location of the images of a COCO file.
        models: The folder of all models.
        bulk: Whether to keep truths from decisions about many images.
        crops: Whether to learn the contents of boxes.
        strict: Whether to refuse any problem of the data.
        seed: Seed of everything that is random.
        output: Folder in S3 of all models.
        dry_run: Whether to check the data only.
    """

    name: str
    kind: "Kind"
    source: str | None
    corrections: str | None
    test_source: str | None
    home: str | None
    models: Path
    bulk: bool
    crops: bool
    strict: bool
    seed: int
    output: str | None
    dry_run: bool


def as_before(kind: "Kind | None", versions: "Versions", *, crops: bool) -> "tuple[Kind, bool]":
    """Return the kind of model to train, and whether to learn the contents of boxes.

    All of its versions learn the same, because they replace each other in a worker.

    Raises:
        ConfigurationError: The options contradict each other, or the last version.
    """
    if crops and kind == "objects":
        raise ConfigurationError("--crops needs --kind labels")
    chosen: tuple[Kind, bool] = kind or "labels", crops
    earlier = versions.all()
    if not earlier:
        return chosen
    card = earlier[-1].card
    before: tuple[Kind, bool] = card["kind"], card["settings"]["crops"]
    if kind not in (None, before[0]) or (crops and not before[1]):
        raise ConfigurationError(
            f"{earlier[-1].name} learned {LEARNED[before]}, and all versions of a model learn the "
            f"same: choose another name to learn {LEARNED[chosen]}"
        )
    return before


def train_locally(request: Request, say: Say, *, as_json: bool) -> dict[str, Any]:
    """Check the images, train, and print the accuracy. Return the card without its data."""
    from retinue_sdk.training import TrainingOptions

    from retinue_cli.data.ground_truth import Problems
    from retinue_cli.options.plugins_dir import installed_plugins
    from retinue_cli.output.training_progress import training_progress
    from retinue_cli.training.local.publish import publish
    from retinue_cli.training.local.train import DETECTORS, prepare, train
    from retinue_cli.training.local.versions import Versions

    versions = Versions(request.models, request.name)
    detector = DETECTORS[request.kind]
    registration = installed_plugins(None).registrations.get(detector)
    trainer = None if registration is None else registration.detector.trainer()
    if trainer is None:
        raise ConfigurationError(
            f"{detector}, which runs models of the kind {request.kind}, can't train any here: "
            "pip install retinue-onnx"
        )
    origin = _origin(request, versions.all())
    if origin["output"] is not None:
        _folder(origin["output"])  # an invalid one is refused before anything is trained
    problems = Problems()
    reader = _Reader()
    learned, tested = _images(request, origin, reader, problems, say)
    with progress("images", len(learned) + len(tested or ())) as advance:
        data = prepare(
            learned,
            tested,
            reader.read,
            problems,
            say,
            boxes=request.kind == "objects",
            strict=request.strict,
            advance=advance,
        )
    split = data.split
    say(
        f"{request.name}: {count(len(split.train), 'image')} to learn from, "
        f"{len(split.validation):,} to validate and {len(split.test):,} to test with; "
        f"{count(len(split.labels), 'label')}"
    )
    if request.dry_run:
        say("nothing was trained: this was a dry run")
        return {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "labels": list(split.labels),
            "left_out": dict(data.left_out),
            "renamed": dict(data.renamed),
        }
    options = TrainingOptions(request.name, seed=request.seed, crops=request.crops)
    with training_progress() as show:
        version = train(versions, trainer, request.kind, data, options, origin, show, say)
    if not as_json:
        print_scores(version)
    model = str(version.model)
    if origin["output"] is not None:
        model = publish(version, _folder(origin["output"]), reader.s3())
        say(f"{version.name} is in S3: {model}")
    if not as_json:
        chosen = json.dumps({"model": model})
        click.echo(f"try it: retinue detect {detector} photo.jpg --options '{chosen}'")
        click.echo(f"use it: retinue models promote {version.name} --config FILE")
    return {key: value for key, value in version.card.items() if key not in ("data", "answers")}


def _origin(request: Request, versions: "list[Version]") -> dict[str, Any]:
    """Return the sources of the images, as the card keeps them.

    Raises:
        ConfigurationError: There is none, and no earlier version that has one.
    """
    if request.source is not None:
        return {
            "from": _lasting(request.source),
            "corrections": request.corrections,
            "test": _lasting(request.test_source),
            "images": _lasting(request.home),
            "output": request.output,
        }
    if not versions:
        raise ConfigurationError(
            f"{request.name} has no version yet: set --from to the images to learn from"
        )
    origin = dict(versions[-1].card["origin"])
    given = {
        "corrections": request.corrections,
        "test": _lasting(request.test_source),
        "images": _lasting(request.home),
        "output": request.output,
    }
    return origin | {key: value for key, value in given.items() if value is not None}


def _folder(output: str) -> "S3Uri":
    from retinue_sdk import S3Uri

    try:
        return S3Uri.parse(output)
    except ValueError as error:
        raise ConfigurationError(f"--output: {error}") from error


def _lasting(source: str | None) -> str | None:
    """Return a source that means the same in another working directory."""
    if source is None or source.startswith((HISTORY, "s3://")):
        return source
    return str(Path(source).absolute())


def _images(
    request: Request, origin: dict[str, Any], reader: "_Reader", problems: "Problems", say: Say
) -> "tuple[list[TrainingImage], list[TrainingImage] | None]":
    from retinue_cli.training.data import teachable
    from retinue_cli.training.sources import from_history, read_source

    def read(source: str) -> "list[TrainingImage]":
        return read_source(
            source,
            s3=reader.s3,
            home=_home(origin["images"], source),
            uploads=None,
            problems=problems,
        )

    learned = read(origin["from"])
    if origin["corrections"] is not None:
        corrected = {image.uri: image for image in from_history(origin["corrections"])}
        for image in corrected.values():
            image.is_correction = True
        for image in learned:
            if image.uri in corrected:
                corrected[image.uri].photograph = image.photograph
        say(f"{count(len(corrected), 'image')} of {origin['corrections']}")
        learned = [corrected.pop(image.uri, image) for image in learned] + [*corrected.values()]
    tested = None if origin["test"] is None else read(origin["test"])
    whole_images = request.kind == "labels" and not request.crops

    def teach(images: "list[TrainingImage]") -> "list[TrainingImage]":
        kept, left_out = teachable(images, bulk=request.bulk, whole_images=whole_images)
        for reason, uris in left_out.items():
            for uri in uris:
                problems.add(reason, uri)
        return kept

    learned = teach(learned)
    tested = None if tested is None else teach(tested)
    return learned, tested


def _home(given: str | None, source: str) -> str | Path:
    """Return the location of the images of a COCO file: by default, the file's folder."""
    if given is None:
        return Path(source).parent
    return given if given.startswith("s3://") else Path(given)


class _Reader:
    """Reads images from this machine, S3, or the history's files."""

    def __init__(self) -> None:
        from retinue_cli.options.originals import Originals

        self._originals = Originals(Settings.load())
        self._s3: S3Client | None = None

    def s3(self) -> "S3Client":
        from retinue_workers.intake.clients import make_clients

        if self._s3 is None:
            self._s3 = make_clients(connections=16).s3()
        return self._s3

    def read(self, image: "TrainingImage") -> bytes:
        """Return an image's file.

        Raises:
            OSError: It can't be read.
            RetinueError: It can't be read.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        from retinue_cli.options.originals import ImageFacts

        if image.path is not None:
            return image.path.read_bytes()
        if image.reference is not None:
            etag = image.reference.etag
            return self._originals.read(ImageFacts(image.reference, etag, None, image.size_px))
        try:
            return self.s3().get_object(Bucket=image.bucket, Key=image.key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise OSError(str(error)) from error
