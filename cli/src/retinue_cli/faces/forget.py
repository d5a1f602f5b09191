"""Forget a person: face vectors in collections, and all data in the history that names the person.

Each step can be repeated, and the data that leads to the rest is removed last. After a crash or
Ctrl-C, the same command continues. ``retinue_history.privacy.erasure`` explains why no worker
records the person again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from retinue_history.privacy.erasure import Erasure, Erasures, PersonNames
from retinue_history.privacy.people import People

from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.erase import count_rows, doomed_person, erase_rows
from retinue_cli.data.archive.manifest import ArchivedFile
from retinue_cli.faces.errors import FacesError, NoSuchCollectionError
from retinue_cli.faces.external_id import external_image_id, plain_name
from retinue_cli.faces.service import FaceService
from retinue_cli.options.json_flag import Say

ROUNDS = 5
"""How often remaining traces are removed before the command fails."""

Place = tuple[str, str]
"""A collection: its region and its id."""


@dataclass(frozen=True, slots=True)
class PersonSubject:
    """The subject of an erasure.

    Attributes:
        kind: ``person``, ``external_image_id`` or ``face_id``.
        key: The person's name, or the id.
        external_ids: External image ids of the subject's faces.
        face_ids: Face ids of the subject, as far as the operator names them.
        labels: Other labels of the subject in detections of matches.
    """

    kind: str
    key: str
    external_ids: frozenset[str] = frozenset()
    face_ids: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    @classmethod
    def person(cls, name: str) -> "PersonSubject":
        """Return a person as the subject.

        Raises:
            FacesError: The name is invalid.
        """
        name, external_id = plain_name(name), external_image_id(name)
        return cls("person", name, frozenset({external_id}), labels=frozenset({name}))

    @classmethod
    def external_image(cls, external_id: str) -> "PersonSubject":
        """Return all faces with one external image id as the subject."""
        return cls("external_image_id", external_id, frozenset({external_id}))

    @classmethod
    def face(cls, face_id: str) -> "PersonSubject":
        """Return one face as the subject."""
        return cls("face_id", face_id, face_ids=frozenset({face_id}))


@dataclass(frozen=True, slots=True)
class PersonTraces:
    """The traces of a subject.

    Attributes:
        vectors: Face ids by collection, without empty collections.
        missing: Collections that no longer exist.
        enrolments: Number of collections in which the person is enrolled.
        detections: Detections that name the subject.
        runs: Runs whose raw response names the subject.
        counted: Rows of the daily counts and of the list of labels that name the subject.
        names: All names of the subject, including the ids of the faces.
        archived: Archived detections that name the subject, by file.
    """

    vectors: Mapping[Place, frozenset[str]]
    missing: tuple[Place, ...]
    enrolments: int
    detections: int
    runs: int
    counted: int
    names: PersonNames
    archived: Counter[ArchivedFile]

    @property
    def vector_count(self) -> int:
        """Return the number of face vectors."""
        return sum(map(len, self.vectors.values()))

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to remove."""
        return not (self.enrolments or self.traces)

    @property
    def traces(self) -> bool:
        """Return whether there are traces other than the record of enrolments."""
        return bool(
            self.vector_count or self.detections or self.runs or self.counted or self.archived
        )


class Forgetting:
    """Finds, removes and verifies.

    Args:
        people: The enrolments.
        erasures: Removes data from the history.
        service: Returns the service of a region.
        archive: The archive with months of the history.
    """

    def __init__(
        self,
        people: People,
        erasures: Erasures,
        service: Callable[[str], FaceService],
        archive: Archive | None = None,
    ) -> None:
        self._archive = archive
        self._people = people
        self._erasures = erasures
        self._service = service

    def find(
        self,
        subject: PersonSubject,
        also: Iterable[Place] = (),
        known: frozenset[str] = frozenset(),
    ) -> PersonTraces:
        """Return the traces of a subject. Change nothing.

        Args:
            subject: The subject.
            also: Collections to search, in addition to those where the subject is known.
            known: Ids that were found before, and may still be in the history.

        Raises:
            FacesError: A collection can't be read.
        """
        enrolments = self._people.enrolments(sorted(subject.external_ids))
        if subject.face_ids:
            enrolments += self._people.enrolments_of_faces(sorted(subject.face_ids))
        places = {(one.region, one.collection_id) for one in enrolments} | set(also)
        vectors: dict[Place, frozenset[str]] = {}
        missing: list[Place] = []
        for place in sorted(places):
            try:
                found = self._vectors(place, subject)
            except NoSuchCollectionError:
                missing.append(place)
                continue
            if found:
                vectors[place] = found
        ids = subject.external_ids | subject.face_ids | known
        ids |= self._people.face_ids(sorted(subject.external_ids))
        names = PersonNames(ids.union(*vectors.values()), subject.labels)
        detections, runs = self._erasures.count(names)
        own = enrolments if subject.kind != "face_id" else []
        counted = self._erasures.counted(names)
        archived: Counter[ArchivedFile] = Counter()
        if self._archive is not None:
            archived = count_rows(self._archive, doomed_person(names))
        return PersonTraces(
            vectors, tuple(missing), len(own), detections, runs, counted, names, archived
        )

    def forget(
        self,
        subject: PersonSubject,
        found: PersonTraces,
        also: Iterable[Place] = (),
        say: Say = lambda _: None,
    ) -> Erasure:
        """Remove all traces, verify the result, and record it.

        Args:
            subject: The subject.
            found: From ``find``.
            also: As for ``find``.
            say: Called with each step.

        Returns:
            The completed erasure, with the counts of this call and of interrupted ones before it.

        Raises:
            FacesError: The service refuses, or another program keeps recording the subject. Removed
                traces stay removed. The same command continues.
            HistoryUnavailableError: The database is unavailable. The same command continues.
        """
        also = tuple(also)
        for place in found.missing:
            say(f"{place[1]} in {place[0]}: this collection no longer exists")
        for _ in range(ROUNDS):
            # Committed before anything is removed, because it contains the faces' ids.
            erasure_id = self._erasures.open(subject.kind, subject.key, found.names)
            self._erasures.wait_for_writers()
            for (region, collection_id), face_ids in found.vectors.items():
                say(f"{collection_id} in {region}: deleting {len(face_ids):,} face vectors")
                gone = self._service(region).delete_faces(collection_id, sorted(face_ids))
                self._erasures.add(erasure_id, face_vectors=gone)
            removed = 0
            for number in self._erasures.erase(erasure_id, found.names):
                removed += number
                say(f"history: {removed:,} rows")
            if self._archive is not None:
                doomed = doomed_person(found.names)
                for rows in erase_rows(self._archive, doomed, found.archived):
                    self._erasures.add(erasure_id, archived_detections=rows)
                    say(f"archive: {rows:,} detections")
            names = found.names
            found = self.find(subject, also, names.ids)
            if not found.traces:
                say("verified: nothing is left in the collections and the history")
                if self._archive is not None:
                    say("verified: nothing is left in the archive")
                return self._erasures.close(erasure_id, names)
        raise FacesError(
            f"another program keeps storing {subject.key}. Stop it, and run this command again"
        )

    def _vectors(self, place: Place, subject: PersonSubject) -> frozenset[str]:
        region, collection_id = place
        return frozenset(
            face.face_id
            for face in self._service(region).faces(collection_id)
            if face.face_id in subject.face_ids or face.external_image_id in subject.external_ids
        )


def described(removed: Mapping[str, int]) -> str:
    """Return counts as text: ``3 face vectors, 12 detections``."""
    said = {
        "face_vectors": "face vectors",
        "detections": "detections",
        "archived_detections": "archived detections",
        "runs": "parts of raw responses",
        "truth_items": "things of ground truth",
        "answer_items": "things of answers",
        "people": "enrolments",
        "faces": "records of faces",
    }
    counts = Counter(removed)
    return ", ".join(f"{counts[key]:,} {name}" for key, name in said.items() if counts[key])
