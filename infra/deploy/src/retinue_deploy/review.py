"""A plan that was reviewed: saved by ``make plan``, and the only one that ``make deploy`` applies.

A deployment applies two plans, since migrations come first, and Terraform takes a plan only for the
state that it was made for. So each is compared with the reviewed one before it is applied.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Plan


@dataclass(frozen=True, slots=True)
class Review:
    """A reviewed plan.

    Attributes:
        environment: The environment's name.
        account_id: AWS account that it is for.
        region: AWS region.
        tag: The container image's tag.
        resources: Changes by address, as in ``terraform show -json``.
    """

    environment: str
    account_id: str
    region: str
    tag: str
    resources: Mapping[str, Any]

    def save(self, file: Path) -> None:
        """Write it to a file that only its owner can read."""
        about = {name: getattr(self, name) for name in self.__slots__}
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> "Review":
        """Read it.

        Raises:
            DeployError: The file is missing, or isn't a reviewed plan.
        """
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DeployError(f"{file} isn't a plan that `make plan` saved: {error}") from error

    def check(self, plan: Plan) -> None:
        """Raise if a plan would change anything else than the reviewed one.

        Values that were unknown at the review can be any.

        Raises:
            DeployError: The message names the resources.
        """
        others = [
            address
            for address, change in plan.resources.items()
            if not _agrees(self.resources.get(address), change)
        ]
        if others:
            listed = "\n".join(f"    {address}" for address in others)
            raise DeployError(
                f"AWS, its state or the files have changed since the plan was reviewed:\n{listed}\n"
                f"None of these was changed. Review a new plan: make plan ENV={self.environment}"
            )


def _agrees(reviewed: Any, change: Mapping[str, Any]) -> bool:
    """Return whether a change is the reviewed one."""
    if reviewed is None or reviewed["actions"] != change["actions"]:
        return False
    return _same(reviewed.get("after"), reviewed.get("after_unknown"), change.get("after"))


def _same(reviewed: Any, unknown: Any, now: Any) -> bool:
    """Return whether a value is the reviewed one, or was unknown."""
    if unknown is True:
        return True
    if isinstance(reviewed, dict) or isinstance(unknown, dict):
        reviewed, now, unknown = reviewed or {}, now or {}, unknown or {}
        return isinstance(now, dict) and all(
            _same(reviewed.get(name), unknown.get(name), now.get(name))
            for name in reviewed.keys() | unknown.keys() | now.keys()
        )
    if isinstance(reviewed, list):
        hidden = unknown if isinstance(unknown, list) else []
        return isinstance(now, list) and (
            len(reviewed) == len(now)
            and all(
                _same(value, hidden[number] if number < len(hidden) else None, now[number])
                for number, value in enumerate(reviewed)
            )
        )
    return bool(reviewed == now)
