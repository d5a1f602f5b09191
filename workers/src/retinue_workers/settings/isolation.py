"""Settings for running a detector in separate processes."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

MIN_MEMORY_BYTES = 64 * 2**20
"""Minimum memory limit. An interpreter with NumPy and Pillow takes about 40 MiB of data."""


class Isolation(BaseModel):
    """The limits of a detector's process."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    max_memory_bytes: int | None = Field(default=None, ge=MIN_MEMORY_BYTES)
    """Maximum data of one process in bytes (RLIMIT_DATA, only on Linux). Not set: no limit."""
