"""The list of an archive's files."""

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Self
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from retinue_sdk import ConfigurationError

MANIFEST = "manifest.json"
"""Name of the document. It is replaced as a whole, after the files that it lists were stored."""

DATA = "data/"
"""Where all data files are."""

VERSION = 1
"""Version of the document's format, and of the columns."""


class ArchivedFile(BaseModel):
    """A Parquet file with detections of one detector in one month."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^data/detector=[^/]+/month=\d{4}-\d{2}/[^/]+\.parquet$")]
    """Name of the file in the archive. No two files ever have the same."""

    detector: str
    """The detector's name."""

    month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    """The month of ``detected_at``, in UTC."""

    rows: Annotated[int, Field(ge=1)]
    """Number of rows."""

    bytes: Annotated[int, Field(ge=1)]
    """Size of the file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the file."""

    attempt: UUID
    """Identifies the copy of the partition, as ``archived_months.attempt``."""


class Manifest(BaseModel):
    """The archive's files."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    """Version of the format."""

    files: tuple[ArchivedFile, ...] = ()
    """The files, in no order."""

    @classmethod
    def parse(cls, data: bytes, place: str) -> Self:
        """Parse the document.

        Raises:
            ConfigurationError: A newer release wrote it, or it is damaged.
        """
        try:
            version = _VERSIONED.validate_json(data).get("version")
            if isinstance(version, int) and version > VERSION:
                raise ConfigurationError(
                    f"the archive {place} has format {version}, and this release reads up to "
                    f"{VERSION}: update Retinue"
                )
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ConfigurationError(
                f"{MANIFEST} of the archive {place} is damaged: {error}. Restore it from a backup "
                "or an older version of the object"
            ) from error

    def dump(self) -> bytes:
        """Return the document."""
        return self.model_dump_json(indent=1).encode()


_VERSIONED = TypeAdapter(dict[str, object])


def partition(detector: str, month: str) -> PurePosixPath:
    """Return the folder of a detector's month, as Hive names partitions."""
    return PurePosixPath(f"detector={quote(detector, safe='')}", f"month={month}")


def new_name(detector: str, month: str) -> str:
    """Return the name of a new data file."""
    return f"{DATA}{partition(detector, month)}/{uuid4().hex}.parquet"
