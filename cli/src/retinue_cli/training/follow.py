"""Following a training to its end, however long that takes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from retinue_cli.training.errors import TrainingError
from retinue_cli.training.service import CustomLabels, ModelVersion

PATIENCE_SECONDS = 900.0
"""How long the service may not answer before following ends; the training goes on without us."""

TRAINED = frozenset(
    {"TRAINING_COMPLETED", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED", "DEPRECATED"}
)
"""Statuses of versions whose training has ended well."""

Tell = Callable[[ModelVersion, float], None]
"""Told of the version and the seconds since its training began, after each look."""


def follow(
    service: CustomLabels,
    project_arn: str,
    name: str,
    tell: Tell,
    *,
    every_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ModelVersion:
    """Look at a training until it has ended.

    Botocore's waiter gives up after 12 hours, and a training may take 24. This one never does: a
    training ends by itself, and whoever stops looking can look again.

    Args:
        service: Custom Labels.
        project_arn: The project.
        name: The version.
        tell: Told after each look.
        every_seconds: How long to wait between two looks.
        sleep: Waits for so many seconds.
        now: The time.

    Raises:
        TrainingError: It failed, the version is gone, or the service has not answered for long.
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
                    f"{error}\nThe training goes on; run the command again to follow it"
                ) from error
            sleep(every_seconds)
            continue
        if not found:
            raise TrainingError(f"the version {name} is gone")
        [version] = found
        tell(version, (now() - version.created_at).total_seconds())
        if version.status in TRAINED:
            return version
        if version.status != "TRAINING_IN_PROGRESS":
            raise TrainingError(
                f"{version.arn}: {version.status}: {version.message}\n"
                "The manifest summary in the output location says which images were refused. A "
                "version's name cannot be used again: train again with another --version"
            )
        sleep(every_seconds)
