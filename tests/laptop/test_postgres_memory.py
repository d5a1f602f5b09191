from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from retinue_cli.local import postgres_memory
from retinue_cli.local.postgres_memory import memory_options


def megabytes(options: list[str], name: str) -> int:
    (option,) = (text for text in options if text.startswith(f"{name}="))
    return int(option.removeprefix(f"{name}=").removesuffix("MB"))


@pytest.mark.parametrize(
    ("limit", "buffers", "cache"),
    [
        ("8589934592", 2048, 4096),  # 8 GiB
        ("1099511627776", 4096, 524288),  # 1 TiB: no more than helps
        ("268435456", 128, 128),  # 256 MiB: what Postgres takes by itself
    ],
)
def test_memory_is_a_quarter_of_what_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, buffers: int, cache: int
) -> None:
    """The least counts: the machine's memory, or the container's limit."""
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")
    monkeypatch.setattr(postgres_memory, "_LIMITS", (tmp_path / "none", file))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=2**42))
    options = memory_options()
    assert megabytes(options, "shared_buffers") == buffers
    assert megabytes(options, "effective_cache_size") == cache


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    file.write_text("max\n")
    monkeypatch.setattr(postgres_memory, "_LIMITS", (file,))
    assert megabytes(memory_options(), "shared_buffers") <= psutil.virtual_memory().total // 2**22
