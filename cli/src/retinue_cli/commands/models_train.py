"""``retinue models train``."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_sdk import ConfigurationError

from retinue_cli.options.given_options import given_options
from retinue_cli.options.json_flag import Say, json_flag, say_beside
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from retinue_cli.training.data import TrainingImage
    from retinue_cli.training.local.train import Kind
    from retinue_cli.training.service import CustomLabels, ModelVersion


ONLY_LOCAL = ("kind", "crops", "strict", "seed", "models")
ONLY_CUSTOM_LABELS = (
    "version", "replace_datasets", "region", "yes", "every_seconds"
)  # fmt: skip


@click.command(short_help="Train a model, on this machine or with Custom Labels.")
@click.argument("name")
@click.option(
    "--on",
    "place",
    type=click.Choice(["custom-labels", "local"]),
    default="custom-labels",
    show_default=True,
    help="Where to train.",
)
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="A COCO file or manifest; a folder (or s3://bucket/prefix/) with a folder for each "
    "label; or history:RUNS, with RUNS as in `retinue diff`.  [default for local: as for the last "
    "version]",
)
@click.option(
    "--corrections",
    metavar="RUNS",
    help="Ground truth of the history, such as ground-truth, or runs. They replace the annotations "
    "of --from for the same images.",
)
@click.option(
    "--bulk/--no-bulk",
    default=True,
    show_default=True,
    help="Include decisions about many images at a time.",
)
@click.option(
    "--test",
    "test_source",
    metavar="SOURCE",
    help="Images to test with.  [default: a fifth of --from]",
)
@click.option(
    "--output",
    metavar="s3://BUCKET/PREFIX",
    help="Where manifests, uploaded images and the results of training go. Local: where to upload "
    "NAME/NUMBER.  [default for local: as for the last version]",
)
@click.option(
    "--images",
    "home",
    metavar="s3://BUCKET/PREFIX",
    help="Location of the images of a COCO file without s3:// URIs; for local, a folder too.  "
    "[default for local: the file's folder]",
)
@click.option(
    "--kind",
    type=click.Choice(["labels", "objects"]),
    help="Local: labels of whole images (onnx-labels), or objects with boxes (onnx-objects).  "
    "[default: as for the last version; labels for the first]",
)
@click.option("--crops", is_flag=True, help="Local: learn the labels of what is inside the boxes.")
@click.option(
    "--strict", is_flag=True, help="Local: refuse to train if there is any problem of the data."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Local: seed of the training.")
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="Local: folder of all models. A version is in NAME/NUMBER.",
)
@click.option("--version", help="The version's name.  [default: the time, such as 20260131-1200]")
@click.option(
    "--replace-datasets", is_flag=True, help="Delete the project's datasets of other images."
)
@click.option(
    "--region", metavar="REGION", help="AWS region.  [default: from the AWS configuration]"
)
@click.option("--dry-run", is_flag=True, help="Only check the data and show the estimate.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option(
    "--poll",
    "every_seconds",
    type=click.FloatRange(0.01, 600),
    default=60.0,
    show_default=True,
    help="Seconds between checks of the training.",
)
@json_flag
def train(
    *,
    name: str,
    place: str,
    kind: "Kind | None",
    crops: bool,
    strict: bool,
    seed: int,
    models: Path,
    source: str | None,
    corrections: str | None,
    bulk: bool,
    test_source: str | None,
    output: str | None,
    home: str | None,
    version: str | None,
    replace_datasets: bool,
    region: str | None,
    dry_run: bool,
    yes: bool,
    every_seconds: float,
    as_json: bool,
) -> None:
    """Train a version of the model NAME, and show its accuracy.

    With --on local, the model is trained on this machine from a bundled network, and written to
    --models with a model card. Ctrl-C ends the training and keeps the best model so far. After a
    crash, run the command again to continue.

    With --on custom-labels, NAME is a project of Amazon Rekognition Custom Labels. Nothing is
    created or billed before all data is valid and you have confirmed. Ctrl-C ends the command, not
    the training. Run it again to continue waiting. For example:

    \b
    retinue models train birds --on local --from photos/
    retinue models train birds --on local --corrections ground-truth
    retinue models train parts --from parts.json --output s3://bucket/parts/
    retinue models train birds --from history:onnx-objects \\
        --corrections ground-truth --output s3://bucket/birds/
    """  # noqa: D301 - click reads a backspace, not a backslash
    from retinue_cli.training.errors import TrainingError
    from retinue_cli.training.local.versions import Versions
    from retinue_cli.training.service import CustomLabels, make_client

    _refuse_others(ONLY_CUSTOM_LABELS if place == "local" else ONLY_LOCAL, place)
    project = name
    if place == "local":
        from retinue_cli.commands.models_train_local import Request, as_before, train_locally

        kind, crops = as_before(kind, Versions(models, name), crops=crops)
        request = Request(
            name=name,
            kind=kind,
            source=source,
            corrections=corrections,
            test_source=test_source,
            home=home,
            models=models,
            bulk=bulk,
            crops=crops,
            strict=strict,
            seed=seed,
            output=output,
            dry_run=dry_run,
        )
        try:
            card = train_locally(request, say_beside(as_json=as_json), as_json=as_json)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error
        if as_json:
            print_json(card)
        return
    service = CustomLabels(make_client(region))
    say = say_beside(as_json=as_json)
    try:
        running = None if dry_run else _running(service, project, version)
        if running is not None:
            say(f"following {running.arn}, which was started earlier")
            trained = _follow(service, running, every_seconds, say)
            if as_json:
                print_json(_trained(trained))
            return
        if source is None or output is None:
            raise click.UsageError(
                f"{project} has no training in progress. To start one, pass --from and --output"
            )
        done = _begin(
            service,
            say,
            project,
            (source, test_source),
            corrections,
            output,
            home,
            version or datetime.now(UTC).strftime("%Y%m%d-%H%M"),
            bulk=bulk,
            replace=replace_datasets,
            dry_run=dry_run,
            yes=yes,
            every_seconds=every_seconds,
        )
    except TrainingError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(done)


def _refuse_others(names: Sequence[str], place: str) -> None:
    """Refuse options that have no meaning where the model is trained."""
    if given := given_options(names):
        raise click.UsageError(f"{given[0]} has no meaning with --on {place}")


def _running(service: "CustomLabels", project: str, version: str | None) -> "ModelVersion | None":
    """Return the version in training, or the version with the given name."""
    arn = service.project(project)
    for one in [] if arn is None else service.versions(arn, version):
        if version is not None or one.status == "TRAINING_IN_PROGRESS":
            return one
    return None


def _begin(
    service: "CustomLabels",
    say: Say,
    project: str,
    sources: tuple[str, str | None],
    corrections: str | None,
    output: str,
    home: str | None,
    version: str,
    *,
    bulk: bool,
    replace: bool,
    dry_run: bool,
    yes: bool,
    every_seconds: float,
) -> dict[str, Any]:
    """Check, ask, prepare, train, and follow. Return the result, or the estimate of a dry run."""
    from retinue_sdk import S3Uri

    from retinue_cli.training.data import split
    from retinue_cli.training.prepare import prepare
    from retinue_cli.training.sources import HISTORY

    try:
        place = S3Uri.parse(output)
    except ValueError as error:
        raise ConfigurationError(f"--output: {error}") from error
    bucket, prefix = place.bucket, f"{place.folder}{project}/"
    s3 = _s3()
    uploads = f"s3://{bucket}/{prefix}images/"
    source, test_source = sources
    learned = _images(s3, source, home, uploads)
    if corrections is not None:
        learned = _correct(source, learned, corrections)
    learned = _teachable(learned, say, bulk=bulk)
    tested = None if test_source is None else _images(s3, test_source, home, uploads)
    if tested is None and source.startswith(HISTORY):
        learned, tested = split(learned)
        say(f"{count(len(tested), 'image')} to test with, the same ones each time")
    _check(s3, learned, tested, say)
    estimate = _estimate(project, version, learned, tested, say)
    if dry_run:
        say("nothing was created: this was a dry run")
        return estimate
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("standard input isn't a terminal: pass --yes to start")
        click.confirm("Begin?", abort=True, err=True)
    arn = prepare(service, s3, project, learned, tested, (bucket, prefix), say, replace=replace)
    service.train(arn, version, bucket, f"{prefix}{version}/")
    [begun] = service.versions(arn, version)
    say(f"training {begun.arn}")
    return _trained(_follow(service, begun, every_seconds, say))


def _teachable(images: "list[TrainingImage]", say: Say, *, bulk: bool) -> "list[TrainingImage]":
    """Return the images to learn from, and print why others are omitted."""
    from retinue_cli.training.data import teachable

    kept, left_out = teachable(images, bulk=bulk)
    for what, uris in left_out.items():
        noun, _, rest = what.partition(" ")
        say(f"left out: {count(len(uris), noun)} {rest}")
    return kept


def _s3() -> "S3Client":
    """Return the S3 client for the images: AWS, or the endpoint in AWS_ENDPOINT_URL."""
    from retinue_workers.intake.clients import make_clients

    return make_clients(connections=16).s3()


def _correct(source: str, found: "list[TrainingImage]", runs: str) -> "list[TrainingImage]":
    """Return these runs' annotations where they exist, and the detections elsewhere.

    Raises:
        ConfigurationError: The images don't come from the history, or the runs don't exist.
    """
    from retinue_cli.training.sources import HISTORY, from_history

    if not source.startswith(HISTORY):
        raise ConfigurationError(f"--corrections needs --from {HISTORY}RUNS")
    corrected = {image.uri: image for image in from_history(runs)}
    return [corrected.pop(image.uri, image) for image in found] + list(corrected.values())


def _images(s3: "S3Client", source: str, home: str | None, uploads: str) -> "list[TrainingImage]":
    """Return the images of a source.

    Raises:
        ConfigurationError: It isn't a source, or it is invalid.
    """
    from retinue_cli.data.ground_truth import Problems
    from retinue_cli.training.sources import read_source

    problems = Problems()
    found = read_source(source, s3=lambda: s3, home=home, uploads=uploads, problems=problems)
    if problems:
        raise ConfigurationError(f"{source} cannot be used\n{problems}")
    return found


def _check(
    s3: "S3Client",
    learned: "list[TrainingImage]",
    tested: "list[TrainingImage] | None",
    say: Say,
) -> None:
    from retinue_cli.data.ground_truth import Problems
    from retinue_cli.training.check import advice, check, reader

    problems = Problems()
    with progress("images", len(learned) + len(tested or ())) as advance:
        check(learned, tested, reader(s3), problems, advance=advance)
    if problems:
        raise ConfigurationError(f"nothing was created or billed\n{problems}")
    for line in advice([*learned, *(tested or ())]):
        say(f"note: {line}")


def _estimate(
    project: str,
    version: str,
    learned: "list[TrainingImage]",
    tested: "list[TrainingImage] | None",
    say: Say,
) -> dict[str, Any]:
    """Print the plan and the cost of a training, and return them for programs."""
    from retinue_cli.training import limits
    from retinue_cli.training.data import has_boxes, labels_of

    labels = labels_of(learned)
    boxes = sum(one.box is not None for image in learned for one in image.items)
    images = [*learned, *(tested or ())]
    machine = sum(not image.is_human for image in images)
    if machine:
        say(
            f"note: {machine:,} of {len(images):,} images have a detector's unconfirmed findings; "
            "the manifest marks them"
        )
    what = (
        f"{boxes:,} {'box' if boxes == 1 else 'boxes'}"
        if has_boxes(learned)
        else "labels of whole images"
    )
    say(
        f"{project} {version}: {count(len(learned), 'image')}"
        + (f" and {len(tested):,} to test with" if tested is not None else "")
        + f", {count(len(labels), 'label')}, {what}"
    )
    least, most = (limits.USD_PER_HOUR * int(hours * 2) / 2 for hours in limits.HOURS)
    say(
        f"estimate: ${limits.USD_PER_HOUR} an hour of training (us-east-1, "
        f"{limits.PRICE_AS_OF}); from 30 minutes to 24 hours, so ${least:.2f} to ${most:.2f}, more "
        "with several machines. The model costs nothing more until it is started."
    )
    return {
        "project": project,
        "version": version,
        "images": len(learned),
        "test_images": None if tested is None else len(tested),
        "unconfirmed_images": machine,
        "labels": len(labels),
        "boxes": boxes,
        "estimate_usd": [least, most],
    }


def _follow(
    service: "CustomLabels", begun: "ModelVersion", every_seconds: float, say: Say
) -> "ModelVersion":
    """Wait for the end of a training, and print its result."""
    from retinue_cli.training.follow import follow

    project_arn = service.project(begun.project)
    if project_arn is None:
        raise ConfigurationError(f"the project {begun.project} was deleted")
    with _status_line() as show:
        version = follow(
            service,
            project_arn,
            begun.name,
            lambda one, seconds: show(f"{one.status} for {_duration(seconds)}"),
            every_seconds=every_seconds,
        )
    say(f"{version.arn}: {version.status}")
    if version.f1 is not None:
        say(f"F1 {version.f1:.3f}; the whole evaluation: {version.summary}")
    if version.billed_seconds is not None:
        usd = _price_usd(version.billed_seconds)
        say(f"billed: {_duration(version.billed_seconds)}, about ${usd:.2f}")
    say(f"use it: retinue models promote {version.arn} --config FILE --apply COMMAND")
    return version


def _price_usd(billed_seconds: int) -> Decimal:
    from retinue_cli.training import limits

    return limits.USD_PER_HOUR * billed_seconds / 3_600


def _trained(version: "ModelVersion") -> dict[str, Any]:
    billed = version.billed_seconds
    return {
        "project": version.project,
        "version": version.name,
        "arn": version.arn,
        "status": version.status,
        "f1": version.f1,
        "billed_seconds": billed,
        "price_usd": None if billed is None else _price_usd(billed),
        "evaluation": version.summary,
    }


@contextmanager
def _status_line() -> Iterator[Any]:
    """Show one changing line on standard error. In a log, print a line each hour."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("…") as status:
            yield status.update
        return
    last: list[str] = []

    def show(text: str) -> None:
        hour = text.partition(" min")[0].rpartition(" h")[0]
        if last[:1] != [hour]:
            last[:] = [hour]
            click.echo(text, err=True)

    yield show


def _duration(seconds: float) -> str:
    minutes = max(int(seconds), 0) // 60
    return f"{minutes // 60} h {minutes % 60:02} min"
