"""The glossary defines Retinue's own words, each once."""

import re
from collections import Counter
from pathlib import Path

import pytest

WORDS = (
    "image",
    "image id",
    "detector",
    "plugin",
    "detection",
    "run",
    "run key",
    "worker",
    "pool",
)
DEFINITION = re.compile(r"^\| \*\*([^*]+)\*\* \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_defined(root: Path, word: str) -> None:
    assert word in dict(DEFINITION.findall((root / "docs/glossary.md").read_text("utf-8")))


def test_no_word_is_defined_twice(pages: dict[str, str]) -> None:
    words = Counter(word for page in pages.values() for word, _ in DEFINITION.findall(page))
    assert [word for word, times in words.items() if times > 1] == []
