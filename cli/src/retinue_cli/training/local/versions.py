"""The versions of a model on this machine: a folder for each, with its file and its card."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinue_sdk import ConfigurationError

from retinue_cli.data.file_hash import sha256_of

CARD = "card.json"
MODEL = "model.onnx"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Version:
    """A finished version.

    Attributes:
        folder: Its folder, ``NAME/NUMBER``.
        card: The content of its card.
    """

    folder: Path
    card: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Return its number, from 1."""
        return int(self.folder.name)

    @property
    def name(self) -> str:
        """Return its name: ``parts/3``."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def model(self) -> Path:
        """Return the path of its ONNX file."""
        return self.folder / MODEL

    def is_intact(self) -> bool:
        """Return whether the ONNX file is the one that the card describes."""
        return sha256_of(self.model) == str(self.card["sha256"])

    @property
    def f1(self) -> float:
        """Return the F1 score on its test part."""
        return float(self.card["f1"])


class Versions:
    """All versions of one model.

    Args:
        models: The folder of all models.
        name: The model's name.

    Raises:
        ConfigurationError: The name can't be a folder's.
    """

    def __init__(self, models: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} can't name a model: use up to 64 letters, digits, - and _"
            )
        self.folder = models / name

    @property
    def cache(self) -> Path:
        """Return the folder with the state of an interrupted training."""
        return self.folder / ".cache"

    def all(self) -> list[Version]:
        """Return the finished versions, oldest first."""
        folders = [one for one in self.folder.glob("*") if re.fullmatch(r"[1-9]\d*", one.name)]
        return [_read(one) for one in sorted(folders, key=lambda one: int(one.name))]

    def find(self, number: int | None) -> Version:
        """Return a version: the newest if ``number`` is ``None``.

        Raises:
            ConfigurationError: It doesn't exist.
        """
        if number is not None:
            return self.get(number)
        finished = self.all()
        if not finished:
            raise ConfigurationError(f"{self.folder} has no finished version")
        return finished[-1]

    def get(self, number: int) -> Version:
        """Return a version.

        Raises:
            ConfigurationError: It doesn't exist.
        """
        found = self.all()
        for one in found:
            if one.number == number:
                return one
        numbers = ", ".join(str(one.number) for one in found) or "none"
        raise ConfigurationError(
            f"{self.folder} has no version {number}; its versions are: {numbers}"
        )

    def add(self, model: bytes, card: Mapping[str, Any], draw: Callable[[Path], None]) -> Version:
        """Write a version and return it. It appears with all its files, or not at all.

        Args:
            model: The bytes of the ONNX file.
            card: The card, without the version's number.
            draw: Draws the sample pictures into a folder.
        """
        draft = self.cache / f"draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            (draft / MODEL).write_bytes(model)
            draw(draft / "samples")
            number = max((one.number for one in self.all()), default=0) + 1
            facts = {"version": number, "sha256": hashlib.sha256(model).hexdigest()}
            text = json.dumps({"name": self.folder.name, **facts, **card}, indent=1)
            (draft / CARD).write_text(text + "\n", "utf-8")
            for path in (draft / MODEL, draft / CARD):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            draft.rename(self.folder / str(number))
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self.get(number)


def _read(folder: Path) -> Version:
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
        return Version(folder, {**card, "f1": float(card["f1"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{folder / CARD} isn't the card of a model ({error}); delete {folder}, or restore it"
        ) from error
