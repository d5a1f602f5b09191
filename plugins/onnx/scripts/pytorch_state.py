"""Read the weights of a PyTorch file without PyTorch.

The file is what ``torch.save`` wrote before version 1.6: five pickles (a number, the version, the
machine, the state with references to storages, the storages' keys), then each storage as the number
of its elements and their bytes
(https://github.com/pytorch/pytorch/blob/v2.5.0/torch/serialization.py, ``_legacy_load``).
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors as descriptions, and refuses all other classes."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in DTYPES:
            return name
        raise ValueError(f"the file needs {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        return pid


def _load(file: BinaryIO) -> Any:
    return _Unpickler(file).load()


def read_state(path: Path) -> dict[str, Array]:
    """Return the weights by name.

    Raises:
        ValueError: The file has something else than weights.
    """
    with path.open("rb") as file:
        for _ in ("magic number", "protocol version", "machine"):
            _load(file)
        tensors = _load(file)
        dtypes = {storage[2]: DTYPES[storage[1]] for storage, *_ in tensors.values()}
        storages = {}
        for key in _load(file):
            count = int.from_bytes(file.read(8), "little")
            storages[key] = file.read(count * dtypes[key].itemsize)
    return {
        name: np.ndarray(
            size,
            dtypes[storage[2]],
            storages[storage[2]],
            offset * dtypes[storage[2]].itemsize,
            [step * dtypes[storage[2]].itemsize for step in stride],
        )
        for name, (storage, offset, size, stride) in tensors.items()
    }
