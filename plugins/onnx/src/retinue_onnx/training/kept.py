"""Arrays that are kept in files, so that a killed training need not compute them again."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

Arrays: TypeAlias = Sequence[npt.NDArray[Any]]


def keep(
    folder: Path, name: str, facts: tuple[object, ...], compute: Callable[[], Arrays]
) -> Arrays:
    """Return arrays from a file, or compute them and write it.

    Args:
        folder: The folder of the files.
        name: The beginning of the file's name.
        facts: Everything that determines the arrays.
        compute: Computes them.
    """
    path = folder / f"{name}-{hashlib.sha256(repr(facts).encode()).hexdigest()}.npz"
    arrays = read(path)
    if arrays is None:
        arrays = compute()
        write(path, arrays)
    return arrays


def read(path: Path) -> Arrays | None:
    """Return the arrays of a file; ``None`` if it doesn't exist or isn't complete."""
    try:
        with np.load(path) as file:
            return [file[name] for name in file.files]
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays into a file, atomically."""
    partial = path.with_suffix(f".{threading.get_ident()}.{os.getpid()}")
    with partial.open("wb") as file:
        np.savez(file, *arrays)
    partial.replace(path)
