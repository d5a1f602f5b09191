"""Tables that benchmarks write into pages, each between two comments that name it."""

from collections.abc import Mapping


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with these tables in the places of their names."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page
