"""Memory of the console's processes."""

import ctypes
from contextlib import suppress

# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def return_large_blocks() -> None:
    """Have the C library return blocks of a megabyte or more to the system when they are freed.

    By default, glibc keeps blocks of up to 32 MiB, for each thread, once it has seen some. Files of
    pictures are such blocks.
    """
    with suppress(AttributeError, OSError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 2**18)
        library.mallopt(_M_TRIM_THRESHOLD, 2**20)
        library.mallopt(_M_ARENA_MAX, 1)
