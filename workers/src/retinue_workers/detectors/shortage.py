"""Recognise errors that mean a shortage of memory, files, threads or disk space."""

import errno
import re
from collections.abc import Iterator
from itertools import islice

from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.errors import format_error

from retinue_workers.detectors.errors import ShortageError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_ERRNOS = DISK_FULL | {
    errno.EAGAIN,  # of fork and clone: no more processes or threads
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
}

_TEXT = re.compile(
    r"out ?of ?memory|bad_alloc|bad allocation|alloc_failed"
    r"|(?:failed|unable|cannot|can't|could not) (?:to )?(?:allocate|mmap|create thread)"
    r"|allocaterawinternal|errormemoryallocation|is smaller than requested bytes"
    r"|oom when allocating|resource_?exhausted|(?:insufficient|not enough) memory"
    r"|cl_out_of_resources|cl_mem_object_allocation_failure"
    r"|can't start new thread|thread creation failed|pthread_create"
    r"|too many open files|no space left on device|disk quota exceeded"
    r"|memoryerror|\bhip error: 2\b|\bcuda failure 2\b",
    re.IGNORECASE,
)
"""Messages of libraries without an exception class for a shortage: ONNX Runtime, CUDA, cuDNN,
cuBLAS, ROCm, PyTorch, TensorFlow, JAX, OpenCV, OpenCL, DirectML, Python's threading.
"""

_SAYS_WHAT_TO_DO = (InvalidImageError, DetectorNotReadyError, RetriableError, ConfigurationError)
"""Errors whose class decides, unless one of their causes is a shortage."""

_MOST_CAUSES = 20


def is_shortage(error: BaseException) -> bool:
    """Return whether an error or one of its causes is a shortage."""
    try:
        return _is_or_has(error)
    except Exception:  # noqa: BLE001 - a plugin's class that is broken itself
        return False


def _is_or_has(error: BaseException) -> bool:
    if isinstance(error, ShortageError):
        return True
    causes = _chain(error)
    if isinstance(error, _SAYS_WHAT_TO_DO):
        next(causes)
        if error.__cause__ is None:
            return False
    return any(map(_is_shortage, causes))


def _is_shortage(error: BaseException) -> bool:
    match error:
        case MemoryError():
            return True
        case OSError(errno=int(number)):
            return number in _ERRNOS
        case BaseExceptionGroup():
            return any(map(is_shortage, error.exceptions))
    return _TEXT.search(format_error(error)) is not None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes. End at a cycle."""
    return islice(_causes(error), _MOST_CAUSES)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
