"""Every relative link leads somewhere."""

import re
from collections import Counter
from pathlib import Path

import pytest

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("# Coroutines, threads and bounds", "coroutines-threads-and-bounds"),
        ("## 1. Three files", "1-three-files"),
        ("### Folders, and who may import whom", "folders-and-who-may-import-whom"),
    ],
)
def test_anchors_are_githubs(heading: str, anchor: str) -> None:
    assert anchors(heading) == {anchor}


def test_relative_links_lead_to_files_and_headings(root: Path, pages: dict[str, str]) -> None:
    broken = []
    for page, text in pages.items():
        for link in LINK.findall(INLINE_CODE.sub("", FENCED.sub("", text))):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (root / page).parent / path if path else root / page
            if not target.is_file() or (  # the site can show no folder
                anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
            ):
                broken.append(f"{page}: {link}")
    assert broken == []


@pytest.mark.parametrize("folder", ["docs", "docs/adr"])
def test_every_page_is_in_its_index(root: Path, folder: str) -> None:
    index = (root / folder / "README.md").read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in LINK.findall(index)}
    files = {path.name for path in (root / folder).glob("*.md")} - {"README.md"}
    assert files <= links


def test_the_tables_of_the_index_list_no_page_twice(root: Path) -> None:
    index = (root / "docs/README.md").read_text(encoding="utf-8")
    rows = [line for line in index.splitlines() if line.startswith("| [")]
    listed = Counter(link for row in rows for link in LINK.findall(row))
    assert len(listed) > 30
    assert [page for page, times in listed.items() if times > 1] == []
