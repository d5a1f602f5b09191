"""Switch a pool, or this machine's settings, to another version of a local model."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retinue_sdk import ConfigurationError, S3Uri

from retinue_cli.training.local.publish import location
from retinue_cli.training.local.versions import MODEL, Version, Versions
from retinue_cli.training.promote import Pool

LOG = "promotions.jsonl"
"""The record of all switches, beside the versions."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch of a file from one version to another.

    Attributes:
        before: The path of the old model, as the file has it, or its URI in S3 with its hash.
        after: The same of the new model.
        old: The old version; ``None`` if its folder is gone.
        new: The new version.
    """

    before: str
    after: str
    old: Version | None
    new: Version

    @property
    def home(self) -> S3Uri | None:
        """Return the folder of all models in S3; ``None`` if the file names one on a disk."""
        if not self.after.startswith("s3://"):
            return None
        return S3Uri.parse(self.after.rpartition(f"{self.new.name}/")[0])


def plan(versions: Versions, pool: Pool, number: int | None, *, back: bool) -> Switch:
    """Return the requested switch.

    Args:
        versions: The model's versions.
        pool: The file that names one of them.
        number: The new version; ``None`` for the newest.
        back: Whether to return to the version before the last switch of this file.

    Raises:
        ConfigurationError: The file doesn't name exactly one version, or there is nothing to do.
    """
    name = versions.folder.name
    model = rf"{re.escape(name)}/\d+/{re.escape(MODEL)}(?:#sha256=[0-9a-f]{{64}})?"
    paths = set(re.findall(rf"[^\s\"'=]*\b{model}", pool.read()))
    paths = {path for path in paths if path.split("/")[-3] == name}
    if len(paths) != 1:
        known = versions.all()
        example = known[-1].model if known else versions.folder / "1" / MODEL
        options = json.dumps({"model": str(example.absolute())})
        raise ConfigurationError(
            f"{pool.file} names {len(paths)} models of {name}; it must name exactly the one in "
            f"use. Add the detector's options to it first, such as {options}"
        )
    [before] = paths
    current = int(before.split("/")[-2])
    if back:
        number = _before_last_switch(versions, pool, current)
    new = versions.find(number)
    if new.number == current:
        raise ConfigurationError(f"{pool.file} names {new.name} already")
    old = next((one for one in versions.all() if one.number == current), None)
    home = before.rpartition(f"{name}/{current}/")[0]
    after = f"{home}{new.name}/{MODEL}"
    if before.startswith("s3://"):
        after = location(new, S3Uri.parse(home))
    return Switch(before, after, old, new)


def compare(switch: Switch) -> None:
    """Raise if the new version is worse than the old one.

    Raises:
        ConfigurationError: Its F1 is lower, or the old one's isn't known.
    """
    old, new = switch.old, switch.new
    if old is None or new.f1 < old.f1:
        known = "unknown: its folder is gone" if old is None else f"{old.f1:.3f}"
        raise ConfigurationError(
            f"the F1 of {new.name} is {new.f1:.3f}, that of the version in use is {known}; nothing "
            "was changed. --force REASON promotes it anyway, and records the reason"
        )


def switch_over(versions: Versions, pool: Pool, switch: Switch, reason: str | None) -> None:
    """Change the file, apply it, and record the switch. A failure restores the file.

    Raises:
        TrainingError: The change could not be applied.
    """
    try:
        pool.switch(switch.before, switch.after)
    except (Exception, KeyboardInterrupt):
        pool.restore()
        raise
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": str(pool.file.absolute()),
        "before": int(switch.before.split("/")[-2]),
        "after": switch.new.number,
        "f1_before": None if switch.old is None else switch.old.f1,
        "f1_after": switch.new.f1,
        "reason": reason,
    }
    with (versions.folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _before_last_switch(versions: Versions, pool: Pool, current: int) -> int:
    file = str(pool.file.absolute())
    for line in reversed(_log(versions)):
        if line["file"] == file and line["after"] == current:
            return int(line["before"])
    raise ConfigurationError(
        f"{versions.folder / LOG} has no switch of {pool.file} to version {current}; name the "
        f"version: {versions.folder.name}/NUMBER"
    )


def _log(versions: Versions) -> list[Mapping[str, Any]]:
    try:
        lines = (versions.folder / LOG).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]
