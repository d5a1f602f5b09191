"""Open the archive that the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from retinue_sdk import ConfigurationError, S3Uri
from retinue_workers.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from retinue_cli.data.archive.archive import Archive
    from retinue_cli.data.archive.place import Place


def archive_place(settings: Settings) -> "Place | None":
    """Return the place of the archive; ``None`` if there is none.

    Raises:
        ConfigurationError: ``RETINUE_ARCHIVE`` is invalid, or AWS isn't configured.
    """
    from retinue_cli.data.archive.place import Bucket, Folder

    if settings.archive is None:
        return None
    if not settings.archive.startswith("s3:"):
        return Folder(Path(settings.archive))
    from retinue_workers.intake.clients import make_clients

    try:
        uri = S3Uri.parse(settings.archive)
    except ValueError as error:
        raise ConfigurationError(f"RETINUE_ARCHIVE: {error}") from error
    return Bucket(make_clients(connections=10).s3(), uri.bucket, uri.folder)


@contextmanager
def archive_to_erase(settings: Settings, engine: "Engine") -> Iterator["Archive | None"]:
    """Open the history's archive for an erasure, while nothing else changes it.

    Args:
        settings: The settings.
        engine: The database, as the tables' owner.

    Yields:
        The archive; ``None`` if no month was archived.

    Raises:
        HistoryError: Months are in another archive than the settings', or ``maintain`` is running.
        ConfigurationError: The archive can't be read.
    """
    from retinue_history.upkeep.archiving import archives_in_use
    from retinue_history.upkeep.maintenance import check_archives, maintenance_lock

    place = archive_place(settings)
    check_archives(engine, None if place is None else place.name)
    if place is None:
        yield None
        return
    from retinue_cli.data.archive.archive import Archive

    with maintenance_lock(engine):
        yield Archive.open(place) if archives_in_use(engine) else None
