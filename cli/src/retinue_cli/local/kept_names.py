"""Store texts by name in JSON files between runs."""

import json
from collections.abc import Mapping
from pathlib import Path

from retinue_cli.local.errors import LaptopError


def read_names(file: Path, remedy: str) -> dict[str, str]:
    """Return a file's texts; empty if it doesn't exist.

    Args:
        file: The file.
        remedy: The remedy for the user if it can't be read.

    Raises:
        LaptopError: It can't be read.
    """
    try:
        kept: object = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LaptopError(f"{file} cannot be read: {error}. {remedy}") from error
    if isinstance(kept, dict) and all(isinstance(text, str) for text in kept.values()):
        return kept
    raise LaptopError(f"{file} cannot be read: it isn't a JSON object of strings. {remedy}")


def write_names(file: Path, names: Mapping[str, str]) -> None:
    """Replace a file atomically, so that a killed run leaves the old one.

    Raises:
        LaptopError: It can't be written.
    """
    draft = file.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise LaptopError(f"cannot write {file}: {error.strerror or error}") from error
