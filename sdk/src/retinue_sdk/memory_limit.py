"""The memory that this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress

from retinue_sdk.cores import control_groups, words


def usable_memory_bytes() -> int | None:
    """Return the memory that this process may use, in bytes; ``None`` if it is unknown.

    This is the machine's memory, and no more than the limit of its control groups: in a container,
    the limit of the container.
    """
    sizes = list(_limits())
    with suppress(AttributeError, OSError, ValueError):  # not on every system
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((size for size in sizes if size > 0), default=None)


def _limits() -> Iterator[int]:
    for version, folder in control_groups("memory"):
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        with suppress(ValueError):  # "max", or nothing
            yield int("".join(words(folder / name)))
