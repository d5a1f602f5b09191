"""Read who is enrolled."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row
from retinue_history.db.connections import Connection


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a face collection.

    Attributes:
        name: The person's name.
        collection_id: The collection's id.
        region: The collection's AWS region.
        consent: The latest reference to the person's consent.
        enrolled_at: When the person was first enrolled in the collection.
        faces: Number of face vectors that are kept.
    """

    name: str
    collection_id: str
    region: str
    consent: str
    enrolled_at: datetime
    faces: int


def enrolled_people(reviewer: Connection) -> list[Person]:
    """Return everyone who is enrolled, by name.

    Args:
        reviewer: A reviewer's connection; the reader's login can't see people.
    """
    with reviewer.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute("SELECT * FROM list_people()").fetchall()
