"""Compute the memory of the embedded server."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_MIB = 1024 * 1024
_LEAST_MIB = 128
"""Postgres' default for ``shared_buffers``."""

_MOST_MIB = 4096
"""Maximum: enough for queries of ten million detections.

80 bytes per buffer are allocated immediately.
"""

_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # a container, cgroup version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


def memory_options() -> list[str]:
    """Return arguments for ``postgres``: a quarter of the memory for ``shared_buffers``, as in RDS.

    Memory is allocated when it is used, so a small history needs little.
    """
    memory_mib = _memory_bytes() // _MIB
    buffers_mib = max(_LEAST_MIB, min(memory_mib // 4, _MOST_MIB))
    cache_mib = max(buffers_mib, memory_mib // 2)
    return [
        *("-c", f"shared_buffers={buffers_mib}MB"),
        *("-c", f"effective_cache_size={cache_mib}MB"),
        # Laptops have no spinning disks, on which random reads cost four times as much.
        *("-c", "random_page_cost=1.1"),
    ]


def _memory_bytes() -> int:
    """Return the machine's memory, or the container's limit."""
    return min([psutil.virtual_memory().total, *_limits()])


def _limits() -> Iterator[int]:
    for file in _LIMITS:
        try:
            yield int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # no container, or "max"
            continue
