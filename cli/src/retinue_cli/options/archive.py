"""Open the archive that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING

from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.s3_uri import S3Uri

if TYPE_CHECKING:
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
