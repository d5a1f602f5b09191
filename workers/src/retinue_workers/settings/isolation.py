"""On which terms a detector has a process of its own, as the settings spell it."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

MIN_MEMORY_BYTES = 64 * 2**20
"""Least memory limit: an interpreter with NumPy and Pillow takes some 40 MiB of data by itself."""


class Isolation(BaseModel):
    """What a detector's process may take."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    max_memory_bytes: int | None = Field(default=None, ge=MIN_MEMORY_BYTES)
    """Most data of one process, in bytes (RLIMIT_DATA, Linux alone); none for no limit."""
