"""Wait for the end of a training."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from retinue_cli.training.errors import TrainingError
from retinue_cli.training.service import CustomLabels, ModelVersion

PATIENCE_SECONDS = 900.0
"""Seconds without an answer of the service until waiting ends. The training continues."""

TRAINED = frozenset(
    {"TRAINING_COMPLETED", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED", "DEPRECATED"}
)
"""Statuses of versions whose training has succeeded."""

Tell = Callable[[ModelVersion, float], None]
"""Called after each check, with the version and the seconds since its training began."""


def follow(
    service: CustomLabels,
    project_arn: str,
    name: str,
    tell: Tell,
    *,
    every_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> ModelVersion:
    """Check a training until it has ended.

    botocore's waiter gives up after 12 hours, but a training may take 24. This function has no
    limit, because a training ends by itself.

    Args:
        service: Custom Labels.
        project_arn: The project.
        name: The version.
        tell: Called after each check.
        every_seconds: Seconds between two checks.
        sleep: Waits for a number of seconds.

    Raises:
        TrainingError: It failed, the version is gone, or the service hasn't answered for long.
    """
    silent_seconds = 0.0
    while True:
        try:
            found = service.versions(project_arn, name)
            silent_seconds = 0.0
        except TrainingError as error:
            silent_seconds += every_seconds
            if silent_seconds >= PATIENCE_SECONDS:
                raise TrainingError(
                    f"{error}\nThe training continues. Run the command again to wait for it"
                ) from error
            sleep(every_seconds)
            continue
        if not found:
            raise TrainingError(f"the version {name} was deleted")
        [version] = found
        tell(version, (datetime.now(UTC) - version.created_at).total_seconds())
        if version.status in TRAINED:
            return version
        if version.status != "TRAINING_IN_PROGRESS":
            raise TrainingError(
                f"{version.arn}: {version.status}: {version.message}\n"
                "The manifest summary in the output location lists the refused images. A "
                "version's name cannot be used again: train again with another --version"
            )
        sleep(every_seconds)
