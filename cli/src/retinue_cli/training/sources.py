"""Read the images of a training from its sources."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.data.ground_truth import Annotations, Problems
from retinue_cli.training import data
from retinue_cli.training.data import TrainingImage

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HISTORY = "history:"


def read_source(
    source: str,
    *,
    s3: "Callable[[], S3Client]",
    home: str | Path | None,
    uploads: str | None,
    problems: Problems,
) -> list[TrainingImage]:
    """Return the images of a source.

    Args:
        source: A COCO file, a manifest, a folder, ``s3://bucket/prefix/``, or ``history:RUNS``.
        s3: Returns a client.
        home: Location of the images of a COCO file without URIs.
        uploads: Where a folder's images will be uploaded; ``None`` if they stay on this machine.
        problems: Collects invalid parts of a file or a folder.

    Raises:
        ConfigurationError: It isn't a source, or it is invalid.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if source.startswith(HISTORY):
        return from_history(source.removeprefix(HISTORY))
    try:
        if source.startswith("s3://"):
            found = data.from_bucket(s3(), source)
        elif Path(source).is_dir():
            folder = Path(source)
            found = (
                data.from_own_folder(folder, problems)
                if uploads is None
                else data.from_folder(folder, uploads)
            )
        else:
            found = data.from_annotations(Annotations.read(Path(source), problems), home)
    except (OSError, ValueError, ClientError, BotoCoreError) as error:
        raise ConfigurationError(f"{source} cannot be used: {error}") from error
    if not found:
        raise ConfigurationError(f"{source} has no images. It needs a subfolder for each label")
    return found


def from_history(runs: str) -> list[TrainingImage]:
    """Return images of the history, with a ground truth or with a detector's findings.

    Raises:
        ConfigurationError: ``runs`` is invalid, or has no images.
    """
    from retinue_history.analysis.comparison import Side
    from retinue_history.analysis.selection import Selection
    from retinue_history.db.snapshot import snapshot

    from retinue_cli.data.evaluation.truth import truth_of_history
    from retinue_cli.options.database import reader_url

    try:
        side = Side.parse(runs)
    except ValueError as error:
        raise ConfigurationError(f"--from {HISTORY}{runs}: {error}") from error
    with reader_url(Settings.load()) as url, snapshot(url) as history:
        found = data.from_truth(truth_of_history(history, side, Selection(latest=False)))
    if not found:
        raise ConfigurationError(f"the history has no truth and no successful runs of {runs}")
    return found
