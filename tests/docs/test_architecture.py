"""The files that the architecture names exist."""

import re
from pathlib import Path

FILE = re.compile(r"`((?:[a-z_]+/)*[a-z0-9_]+\.(?:py|sql|toml|ini|json|html|tf|yml))`")


def test_files_exist(root: Path) -> None:
    page = (root / "docs/architecture.md").read_text("utf-8")
    sources = [root / part / "src" for part in ("sdk", "aws", "migrations", "workers", "cli")]
    named = set(FILE.findall(page))
    assert named
    missing = {name for name in named if not any(list(s.rglob(name)) for s in sources)}
    assert missing == set()
