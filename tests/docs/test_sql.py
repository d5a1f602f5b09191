"""Every query in the documentation is one that the history's readers may ask."""

import re
from collections.abc import Callable

from retinue_history.analysis.query import run_query

QUERY = re.compile(r'retinue query "([^"]+)"')


def test_every_query_works(
    pages: dict[str, str], history_url: str, as_user: Callable[[str, str], str]
) -> None:
    queries = [sql for text in pages.values() for sql in QUERY.findall(text)]
    assert queries
    reader = as_user(history_url, "retinue_reader")
    for sql in queries:
        assert run_query(reader, sql).columns, sql
