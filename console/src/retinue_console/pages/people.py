"""The people whose faces are known; for admins only."""

from dataclasses import dataclass

from retinue_console.page import Call, Page, Parameters
from retinue_console.queries.people import Person, enrolled_people


@dataclass(frozen=True, slots=True)
class People:
    """The data of the page.

    Attributes:
        people: Everyone who is enrolled, by name.
    """

    people: list[Person]


def people(call: Call[Parameters]) -> Page[People]:
    """List the people whose faces are known, with their consent."""
    with call.services.reviews.connections() as (_, reviewer):
        found = enrolled_people(reviewer)
    return Page("people.html", "People", People(found), rows=found)
