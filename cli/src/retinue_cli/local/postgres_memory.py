"""How much of this machine's memory the embedded server may use."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_MIB = 1024 * 1024
_LEAST_MIB = 128
"""Postgres' own default for ``shared_buffers``, which any machine has."""

_MOST_MIB = 4096
"""Holds what questions read of ten million detections. 80 bytes a buffer are taken at once."""

_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # a container, cgroup version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # and version 1
)


def memory_options() -> list[str]:
    """Arguments for ``postgres``: a quarter of the memory for ``shared_buffers``, as RDS gives.

    Memory is taken as it is used: a small history takes little, whatever is allowed.
    """
    memory_mib = _memory_bytes() // _MIB
    buffers_mib = max(_LEAST_MIB, min(memory_mib // 4, _MOST_MIB))
    cache_mib = max(buffers_mib, memory_mib // 2)
    return [
        *("-c", f"shared_buffers={buffers_mib}MB"),
        *("-c", f"effective_cache_size={cache_mib}MB"),
        # Laptops have no spinning disks, where a block elsewhere is four times as dear.
        *("-c", "random_page_cost=1.1"),
    ]


def _memory_bytes() -> int:
    """The machine's memory, or what the container may use of it."""
    return min([psutil.virtual_memory().total, *_limits()])


def _limits() -> Iterator[int]:
    for file in _LIMITS:
        try:
            yield int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # no container, or "max"
            continue
