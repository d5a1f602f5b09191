"""Publish and withdraw an archive's files.

A file is stored under a new name. The manifest that lists it is replaced afterwards, which is the
moment of publication. What the manifest lists no longer is deleted last. After a crash at any
point, ``repair`` deletes what isn't listed.
"""

from collections.abc import Collection, Iterable
from uuid import uuid4

from retinue_sdk import ConfigurationError

from retinue_cli.data.archive.manifest import (
    DATA,
    MANIFEST,
    ArchivedFile,
    Manifest,
    partition,
)
from retinue_cli.data.archive.place import ArchiveConflictError, Place

ATHENA = "athena/"
"""For each partition, a document with the URIs of its files. Athena reads only these."""

_SYMLINK = "symlink.txt"


class Archive:
    """An archive that exists.

    Args:
        place: Where it is.
        manifest: Its manifest.
        tag: The manifest's tag.
    """

    def __init__(self, place: Place, manifest: Manifest, tag: str) -> None:
        self.place = place
        self._manifest = manifest
        self._tag = tag

    @classmethod
    def open(cls, place: Place) -> "Archive":
        """Open an archive.

        Raises:
            ConfigurationError: There is none, it is damaged, or a newer release wrote it.
        """
        found = place.read(MANIFEST)
        if found is None:
            raise ConfigurationError(
                f"{place.name} has no {MANIFEST}, so it isn't an archive. `retinue maintain` "
                "creates it when the first month leaves Postgres"
            )
        return cls(place, Manifest.parse(found[0], place.name), found[1])

    @classmethod
    def open_or_create(cls, place: Place) -> "Archive":
        """Open an archive to write, or create an empty one. Check the rights to write and delete.

        Raises:
            ConfigurationError: It is damaged, a newer release wrote it, it has data files and no
                manifest, or a right is missing.
        """
        if place.read(MANIFEST) is None:
            if any(place.list(DATA)):
                raise ConfigurationError(
                    f"the archive {place.name} has data files and no {MANIFEST}. Restore it from a "
                    "backup or an older version of the object"
                )
            place.replace(MANIFEST, Manifest().dump(), None)
        probe = f"{DATA}probe-{uuid4().hex}"
        place.overwrite(probe, b"?")
        place.delete(probe)
        return cls.open(place)

    @property
    def files(self) -> tuple[ArchivedFile, ...]:
        """Return the published files."""
        return self._manifest.files

    def check_files(self) -> None:
        """Check that every published file exists, and has its size.

        Raises:
            ConfigurationError: One doesn't.
        """
        sizes = dict(self.place.list(DATA))
        for file in self.files:
            size = sizes.get(file.name)
            if size != file.bytes:
                problem = (
                    "is missing" if size is None else f"has {size:,} bytes, not {file.bytes:,}"
                )
                raise ConfigurationError(damaged(self.place, file, problem))

    def publish(self, added: Iterable[ArchivedFile], withdrawn: Collection[ArchivedFile]) -> None:
        """List files that were stored, no longer list others, and delete those.

        Raises:
            ConfigurationError: Another process changed the archive, or the place refuses.
        """
        added = tuple(added)
        kept = [file for file in self.files if file not in withdrawn]
        manifest = Manifest(files=(*kept, *added))
        try:
            self._tag = self.place.replace(MANIFEST, manifest.dump(), self._tag)
        except ArchiveConflictError as error:
            raise ConfigurationError(
                f"another process changed the archive {self.place.name}: run the same command again"
            ) from error
        self._manifest = manifest
        self._link({(file.detector, file.month) for file in (*added, *withdrawn)})
        for file in withdrawn:
            self.place.delete(file.name)

    def repair(self) -> None:
        """Finish what a crash interrupted: delete data files that aren't listed, and link the rest.

        Nothing else may write to the archive meanwhile.
        """
        listed = {file.name for file in self.files}
        for name, _ in list(self.place.list(DATA)):
            if name not in listed:
                self.place.delete(name)
        if self.place.is_bucket:
            partitions = {(file.detector, file.month) for file in self.files}
            self._link(partitions)
            linked = {f"{ATHENA}{partition(*each)}/{_SYMLINK}" for each in partitions}
            for name, _ in list(self.place.list(ATHENA)):
                if name not in linked:
                    self.place.delete(name)

    def _link(self, partitions: Iterable[tuple[str, str]]) -> None:
        """Write the lists of files that Athena reads, one per partition."""
        if not self.place.is_bucket:
            return
        for detector, month in sorted(partitions):
            name = f"{ATHENA}{partition(detector, month)}/{_SYMLINK}"
            uris = sorted(
                f"{self.place.name}/{file.name}"
                for file in self.files
                if (file.detector, file.month) == (detector, month)
            )
            if not uris:
                self.place.delete(name)
                continue
            data = "\n".join([*uris, ""]).encode()
            found = self.place.read(name)
            if found is None or found[0] != data:
                self.place.overwrite(name, data)


def damaged(place: Place, file: ArchivedFile, problem: str) -> str:
    """Return the message about a file that isn't as it was written."""
    return (
        f"{file.name} of the archive {place.name} {problem}. Restore it from a backup or an older "
        f"version of the object. Its {file.rows:,} detections ({file.detector}, {file.month}) are "
        "nowhere else"
    )
