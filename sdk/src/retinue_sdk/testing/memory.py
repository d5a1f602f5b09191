"""Measure the memory of this process."""

import ctypes
import gc
import os
from pathlib import Path


def resident_bytes() -> int | None:
    """Return resident memory in bytes. First free unused memory if the C library can.

    Returns:
        The operating system's figure; ``None`` if it is unknown and psutil isn't installed.
    """
    gc.collect()
    _trim()
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux: the second number is resident pages, proc(5)
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.Process().memory_info().rss)


def _trim() -> None:
    """Make glibc return free memory, so that it doesn't count as growth."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # another C library
