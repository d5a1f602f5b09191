"""How much memory this process holds."""

import ctypes
import gc
import os
from pathlib import Path


def resident_bytes() -> int | None:
    """Resident memory in bytes, with free memory given back first where the C library can.

    Returns:
        The operating system's figure; ``None`` where it is not known and psutil is not installed.
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
    """Let glibc give back what is free, so that it does not look like growth."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # another C library
