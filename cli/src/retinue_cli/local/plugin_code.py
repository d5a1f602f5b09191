"""Check that a plugin's version changes with its code."""

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from retinue_sdk import AnyDetector

from retinue_cli.local.kept_names import read_names, write_names

_OWN = re.compile(r"retinue_(?!plugin_file_)")
"""Retinue's own packages, whose versions change. Single-file plugins can't have this prefix."""


class PluginCode:
    """A digest of each detector's code, from the first use of its version and options.

    Args:
        file: The file of the digests. It may be missing.

    Raises:
        LaptopError: The file can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digests = read_names(file, "Delete it.")

    def changed(self, detectors: Sequence[AnyDetector]) -> list[AnyDetector]:
        """Return the detectors whose code has changed. Record new ones."""
        now = {_key(detector): code_digest(detector) for detector in detectors}
        before, self._digests = self._digests, now | self._digests
        return [
            detector
            for detector in detectors
            if before.get(_key(detector), now[_key(detector)]) != now[_key(detector)]
        ]

    def renew(self, detectors: Sequence[AnyDetector]) -> None:
        """Record the code of detectors that process images again."""
        self._digests |= {_key(detector): code_digest(detector) for detector in detectors}

    def save(self) -> None:
        """Save the digests.

        Raises:
            LaptopError: The file can't be written.
        """
        write_names(self._file, self._digests)


def code_digest(detector: AnyDetector) -> str:
    """Return a digest of the Python files of a detector's package; empty for Retinue's own."""
    top = type(detector).__module__.partition(".")[0]
    module = sys.modules.get(top)
    if _OWN.match(top) or module is None or module.__file__ is None:
        return ""
    file = Path(module.__file__)
    files = sorted(file.parent.rglob("*.py")) if hasattr(module, "__path__") else [file]
    digest = hashlib.sha256()
    for one in files:
        try:
            digest.update(hashlib.sha256(one.read_bytes()).digest())
        except OSError:  # removed since its import
            continue
    return digest.hexdigest()


def _key(detector: AnyDetector) -> str:
    return f"{detector.name} {detector.version} {detector.fingerprint()}"
