"""Prepare a project and its datasets for training."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError

from retinue_cli.options.json_flag import Say
from retinue_cli.output.words import count
from retinue_cli.training import limits
from retinue_cli.training.data import TrainingImage, has_boxes, manifest
from retinue_cli.training.errors import TrainingError
from retinue_cli.training.service import CustomLabels, Kind

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def prepare(
    service: CustomLabels,
    s3: "S3Client",
    project: str,
    train: Sequence[TrainingImage],
    test: Sequence[TrainingImage] | None,
    output: tuple[str, str],
    say: Say,
    *,
    replace: bool = False,
) -> str:
    """Create the project and its datasets, unless they exist.

    Existing datasets with exactly these images are reused. Others are replaced only on request.

    Args:
        service: Custom Labels.
        s3: S3.
        project: The project's name.
        train: The training images.
        test: The test images; a fifth of ``train`` if ``None``.
        output: Bucket and prefix for manifests.
        say: Called with each step.
        replace: Delete datasets of other images.

    Returns:
        The project's ARN.

    Raises:
        ConfigurationError: The project has other datasets.
        TrainingError: The service or S3 refuses a request.
    """
    arn = service.project(project)
    if arn is None:
        say(f"creating the project {project}")
        arn = service.make_project(project)
    there = service.datasets(project)
    if there and _same(service, there, train, test):
        say("the project's datasets already have these images")
    elif there:
        if not replace:
            raise ConfigurationError(
                f"the project {project} has datasets of other images; --replace-datasets deletes "
                "them (models that were trained with them stay)"
            )
        for dataset in there.values():
            say(f"deleting {dataset}")
            service.delete_dataset(dataset)
        there = {}
    _upload(s3, [*train, *(test or ())], say)
    boxes = has_boxes([*train, *(test or ())])
    parts: dict[Kind, Sequence[TrainingImage]] = {"TRAIN": train}
    if test is not None:
        parts["TEST"] = test
    for kind, images in parts.items():
        if kind not in there:
            where = _upload_manifest(s3, manifest(images, boxes=boxes), output)
            say(f"creating the {kind} dataset with {count(len(images), 'image')}")
            service.make_dataset(arn, kind, where)
    if test is None:
        if "TEST" not in there:
            say("reserving a fifth of the images for testing")
            service.make_dataset(arn, "TEST", None)
        there = service.datasets(project)
        if not service.images_of(there["TEST"]):
            service.distribute(there["TRAIN"], there["TEST"])
    return arn


def _same(
    service: CustomLabels,
    there: dict[str, str],
    train: Sequence[TrainingImage],
    test: Sequence[TrainingImage] | None,
) -> bool:
    found = {kind: service.images_of(dataset) for kind, dataset in there.items()}
    wanted, tested = {one.uri for one in train}, {one.uri for one in test or ()}
    if test is None:
        return found.get("TRAIN", set()) | found.get("TEST", set()) == wanted
    return found.get("TRAIN") == wanted and found.get("TEST", tested) == tested


def _upload(s3: "S3Client", images: Sequence[TrainingImage], say: Say) -> None:
    files = [(image.path, image) for image in images if image.path is not None]
    if not files:
        return
    say(f"uploading {count(len(files), 'image')}")
    for path, image in files:
        try:
            _put(s3, path, image.bucket, image.key)
        except (ClientError, BotoCoreError, OSError) as error:
            raise TrainingError(f"{path} cannot be uploaded: {error}") from error


def _put(s3: "S3Client", path: Path, bucket: str, key: str) -> None:
    with path.open("rb") as file:
        s3.put_object(Bucket=bucket, Key=key, Body=file)


def _upload_manifest(
    s3: "S3Client", lines: Iterable[bytes], output: tuple[str, str]
) -> tuple[str, str]:
    bucket, prefix = output
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest"
        with path.open("wb") as file:
            for line in lines:
                digest.update(line)
                file.write(line)
        if path.stat().st_size > limits.MAX_MANIFEST_BYTES:
            raise ConfigurationError("the manifest is larger than 1 GB: train with fewer images")
        key = f"{prefix}manifests/{digest.hexdigest()[:16]}.manifest"
        try:
            _put(s3, path, bucket, key)
        except (ClientError, BotoCoreError, OSError) as error:
            raise TrainingError(
                f"the manifest cannot be uploaded to s3://{bucket}/{key}: {error}"
            ) from error
    return bucket, key
