"""The search: one field for labels, words in images, keys, ids and addresses."""

from retinue_console.access.identity import Right
from retinue_console.page import Call, Page, Parameters
from retinue_console.queries.filters import Word
from retinue_console.queries.search import Found, search


class SearchParameters(Parameters):
    """The parameters of a search."""

    q: Word = ""
    """A label or a part of one, a word in an image, the beginning of a key, an image's id, or an
    s3:// address."""


def find(call: Call[SearchParameters]) -> Page[Found]:
    """Show everything that a text finds."""
    with call.database.read() as connection:
        found = search(connection, call.parameters.q, people=call.identity.may(Right.ADMIN))
    return Page("search.html", "Search", found)
