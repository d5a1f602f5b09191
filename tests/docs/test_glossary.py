"""The glossary defines Retinue's own words, each once."""

import re
from collections import Counter
from pathlib import Path

WORDS = {
    "image",
    "image id",
    "detector",
    "plugin",
    "detection",
    "run",
    "run key",
    "worker",
    "pool",
    "delivery",
    "task",
    "video",
    "appearance",
    "job",
}
DEFINITION = re.compile(r"^\| \*\*([^*]+)\*\* \| (.+) \|$", re.MULTILINE)


def test_the_words_are_defined_and_no_others(root: Path) -> None:
    assert dict(DEFINITION.findall((root / "docs/glossary.md").read_text("utf-8"))).keys() == WORDS


def test_no_word_is_defined_twice(pages: dict[str, str]) -> None:
    words = Counter(word for page in pages.values() for word, _ in DEFINITION.findall(page))
    assert [word for word, times in words.items() if times > 1] == []
