"""People in face collections: enrolments, consents, and faces.

Only the database's owner can access these tables, not workers and analysts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from retinue_history.db.engine import map_engine_errors
from retinue_history.db.errors import HistoryError


class PersonBeingForgottenError(HistoryError):
    """The person's erasure was begun and is not finished. Finish it first."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person in one collection.

    Attributes:
        external_image_id: The person's id in the collection.
        region: The collection's AWS region.
        collection_id: The collection's id.
        name: The person's name.
        consent: The legal basis for storing the person's face vectors.
    """

    external_image_id: str
    region: str
    collection_id: str
    name: str
    consent: str


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """A face vector of a person.

    Attributes:
        face_id: Rekognition's id of the vector.
        photo: The photo of the face.
        consent: The consent under which it was indexed.
        model_version: The face model's version, if known.
    """

    face_id: str
    photo: str
    consent: str
    model_version: str | None = None


_BEING_FORGOTTEN = text("""
    SELECT EXISTS (
        SELECT FROM erasures
        WHERE completed_at IS NULL
            AND (subject_kind, subject_digest) IN (
                ('person', erasure_digest('person:' || :name)),
                ('external_image_id', erasure_digest('external_image_id:' || :external_image_id))
            )
    )
""")

_ENROL = text("""
    INSERT INTO people (external_image_id, region, collection_id, name, consent)
    VALUES (:external_image_id, :region, :collection_id, :name, :consent)
    ON CONFLICT (external_image_id, region, collection_id)
        DO UPDATE SET consent = excluded.consent
    RETURNING person_id
""")

_ALLOW_AGAIN = text("""
    DELETE FROM erased_names
    WHERE digest IN (
        SELECT erasure_digest(name) FROM unnest(CAST(:names AS text[])) AS name
    )
""")

_ADD_FACE = text("""
    INSERT INTO faces (face_id, person_id, consent, photo, model_version)
    VALUES (:face_id, :person_id, :consent, :photo, :model_version)
    ON CONFLICT (face_id) DO UPDATE SET consent = excluded.consent
""")

_OF_COLLECTION = text("""
    SELECT external_image_id, region, collection_id, name, people.consent, count(face_id) AS faces
    FROM people LEFT JOIN faces USING (person_id)
    WHERE region = :region AND collection_id = :collection_id
    GROUP BY people.person_id, external_image_id, region, collection_id, name, people.consent
    ORDER BY name, external_image_id
""")

_DROP_FACES = text("""
    DELETE FROM faces USING people
    WHERE faces.person_id = people.person_id
        AND region = :region AND collection_id = :collection_id
""")

_DROP_PEOPLE = text("""
    DELETE FROM people WHERE region = :region AND collection_id = :collection_id
""")


class People:
    """The people of one database. Threads may share it.

    Args:
        engine: From ``create_history_engine``; the login must own the tables.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enrol(self, person: Enrolment) -> int:
        """Record a person and the consent, before any face is sent to the service.

        A forgotten person who consents again is enrolled again.

        Returns:
            The person's number, for ``add_face``.

        Raises:
            PersonBeingForgottenError: The person's erasure isn't finished.
            HistoryUnavailableError: The database is unavailable, or the login isn't the owner's.
        """
        names = [person.external_image_id, person.name]
        values = {
            "external_image_id": person.external_image_id,
            "region": person.region,
            "collection_id": person.collection_id,
            "name": person.name,
            "consent": person.consent,
        }
        with map_engine_errors(), self._engine.begin() as connection:
            if connection.scalar(_BEING_FORGOTTEN, values):
                raise PersonBeingForgottenError(
                    f"{person.name} isn't completely forgotten: run `retinue faces forget` "
                    "again first"
                )
            connection.execute(_ALLOW_AGAIN, {"names": names})
            return int(connection.scalar(_ENROL, values))

    def add_face(self, person_id: int, face: IndexedFace) -> None:
        """Record a face vector that the service has stored.

        Raises:
            HistoryDataError: The person was forgotten meanwhile. Delete the vector again.
            HistoryUnavailableError: The database is unavailable. The vector is known only by its
                external image id, which suffices to forget it.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            connection.execute(
                _ADD_FACE,
                {
                    "face_id": face.face_id,
                    "person_id": person_id,
                    "consent": face.consent,
                    "photo": face.photo,
                    "model_version": face.model_version,
                },
            )
            connection.execute(_ALLOW_AGAIN, {"names": [face.face_id]})

    def of_collection(self, region: str, collection_id: str) -> list[tuple[Enrolment, int]]:
        """Return all people in a collection by name, each with their number of recorded faces."""
        where = {"region": region, "collection_id": collection_id}
        with map_engine_errors(), self._engine.connect() as connection:
            rows = connection.execute(_OF_COLLECTION, where).all()
        return [(Enrolment(*row[:5]), row.faces) for row in rows]

    def enrolments(self, external_image_ids: Sequence[str]) -> list[Enrolment]:
        """Return the enrolments of people with a name."""
        return self._enrolments("external_image_id = ANY(:names)", external_image_ids)

    def enrolments_of_faces(self, face_ids: Sequence[str]) -> list[Enrolment]:
        """Return the recorded owners of faces."""
        return self._enrolments(
            "person_id IN (SELECT person_id FROM faces WHERE face_id = ANY(:names))", face_ids
        )

    def face_ids(self, external_image_ids: Sequence[str]) -> set[str]:
        """Return the recorded faces of people with a name."""
        query = text(
            "SELECT face_id FROM faces JOIN people USING (person_id) "
            "WHERE external_image_id = ANY(:names)"
        )
        with map_engine_errors(), self._engine.connect() as connection:
            return set(connection.scalars(query, {"names": list(external_image_ids)}))

    def drop_collection(self, region: str, collection_id: str) -> int:
        """Delete the enrolments of a collection that is deleted. Detections stay.

        Returns:
            The number of people in it.
        """
        where = {"region": region, "collection_id": collection_id}
        with map_engine_errors(), self._engine.begin() as connection:
            connection.execute(_DROP_FACES, where)
            return connection.execute(_DROP_PEOPLE, where).rowcount

    def _enrolments(self, condition: str, names: Sequence[str]) -> list[Enrolment]:
        query = text(
            "SELECT external_image_id, region, collection_id, name, consent "  # noqa: S608 - ours
            f"FROM people WHERE {condition} ORDER BY region, collection_id, external_image_id"
        )
        with map_engine_errors(), self._engine.connect() as connection:
            return [Enrolment(*row) for row in connection.execute(query, {"names": list(names)})]
