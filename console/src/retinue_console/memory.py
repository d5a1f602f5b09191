"""Memory of the console's processes."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # of <malloc.h>


def return_large_blocks() -> None:
    """Have the C library return blocks of a megabyte or more to the system when they are freed.

    By default, glibc keeps blocks of up to 32 MiB, for each thread, once it has seen some. Files of
    pictures are such blocks.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)
