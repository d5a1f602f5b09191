"""Upload a version to S3, where workers read it by its hash."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import S3Uri

from retinue_cli.training.errors import TrainingError
from retinue_cli.training.local.versions import CARD, MODEL, Version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def publish(version: Version, home: S3Uri, s3: "S3Client") -> str:
    """Upload a version, unless it is there, and return the URI that workers read it by.

    The card comes last, so a version with a card is complete. A version is never overwritten.

    Args:
        version: The version.
        home: The folder of all models in S3.
        s3: A client.

    Raises:
        TrainingError: S3 refuses it, or has another version of this name.
    """
    uri = location(version, home)
    folder = S3Uri.parse(uri.partition("#")[0].removesuffix(MODEL))
    try:
        known = _card(folder, s3)
        if known is None:
            for name in (MODEL, CARD):
                with (version.folder / name).open("rb") as file:
                    s3.put_object(Bucket=folder.bucket, Key=folder.key + name, Body=file)
        elif known.get("sha256") != version.card["sha256"]:
            raise TrainingError(
                f"{folder} is another model than {version.folder}, and a version never changes; "
                "train with another NAME or --output"
            )
    except (ClientError, BotoCoreError, OSError, ValueError) as error:
        raise TrainingError(f"{version.folder} wasn't uploaded to {folder}: {error}") from error
    return uri


def location(version: Version, home: S3Uri) -> str:
    """Return the URI by which workers read a version, with the hash of its file."""
    key = f"{home.folder}{version.name}/{MODEL}"
    return f"{S3Uri(home.bucket, key)}#sha256={version.card['sha256']}"


def _card(folder: S3Uri, s3: "S3Client") -> dict[str, object] | None:
    """Return the card that S3 has; ``None`` without one."""
    try:
        body = s3.get_object(Bucket=folder.bucket, Key=folder.key + CARD)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return dict(json.loads(body))
