"""The number of cores that this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
"""Where control groups are mounted."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""Lists the groups of this process."""


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    These are the cores of its CPU affinity, and no more than the CPU quota of its control groups,
    rounded up. ``os.cpu_count`` and ``os.process_cpu_count`` ignore the quota: a container with two
    CPUs would start as many threads as its host has cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([cores or 1, *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the quotas, in CPUs, of this process's control groups and their parents."""
    for version, folder in control_groups("cpu"):
        if version == 2:
            yield from _quota(*words(folder / "cpu.max"))
        else:
            quota = words(folder / "cpu.cfs_quota_us")
            yield from _quota(*quota, *words(folder / "cpu.cfs_period_us"))


def control_groups(controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and the folder of this process's control groups and their parents.

    Args:
        controller: The controller that they must have, such as ``cpu``.
    """
    try:
        lines = MEMBERSHIP.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if not controllers:
            for folder in _folders(CGROUPS, path):
                yield 2, folder
        elif controller in controllers.split(","):
            for mounted in dict.fromkeys((controllers, controller)):
                for folder in _folders(CGROUPS / mounted, path):
                    yield 1, folder


def _folders(root: Path, path: str) -> Iterator[Path]:
    """Yield the folders of a control group and its parents.

    In a container the path may be the host's, which isn't there; the root is the container's own.
    """
    inside = PurePosixPath(path.lstrip("/"))
    for part in (inside, *inside.parents):
        if ".." not in part.parts:
            yield root / part


def words(file: Path) -> list[str]:
    """Return the words of a file of a control group; none if it can't be read."""
    try:
        return file.read_text("utf-8").split()
    except (OSError, ValueError):
        return []


def _quota(*words: str) -> Iterator[float]:
    """Yield the quota, if any, from the words for microseconds and their period."""
    try:
        quota_us, period_us = map(int, words)
        if quota_us > 0 and period_us > 0:
            yield quota_us / period_us
    except (ValueError, OverflowError):  # "max", or nothing
        return
