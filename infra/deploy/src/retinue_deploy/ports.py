"""What a deployment needs of the world. The real ones are beside this file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do.

    Attributes:
        changes: Resources by what becomes of them: create, update, delete, replace.
        lost: Addresses of resources with data in them that would be destroyed.
    """

    changes: Mapping[str, int]
    lost: Sequence[str]


class Foundation(Protocol):
    """The bucket for Terraform's state, and the registry."""

    def ensure(self) -> None:
        """Make what is missing."""


class Images(Protocol):
    """Container images in the registry."""

    def missing(self, tag: str, *, cuda: bool) -> Sequence[str]:
        """The variants of a tag, ``cpu`` or ``cuda``, that are not in the registry."""

    def newest(self) -> Sequence[str]:
        """Some tags that are, the newest first."""

    def build(self, tag: str, variant: str) -> None:
        """Build a variant here."""

    def push(self, tag: str, variant: str) -> None:
        """Push a variant that was built."""


class Stack(Protocol):
    """An environment, by Terraform."""

    def check(self) -> None:
        """Refuse pools and other variables that are wrong."""

    def needs_cuda(self) -> bool:
        """Return whether a pool has a GPU."""

    def wanted_vcpus(self) -> float:
        """Return how many vCPUs Fargate must run at once when every pool is at its maximum."""

    def plan(self, tag: str, *, migrations_only: bool = False) -> Plan:
        """See what applying a tag would do."""

    def apply(self) -> None:
        """Do what was planned last."""

    def migrate_parameters(self) -> Mapping[str, Any]:
        """Parameters of ECS's RunTask for ``retinue migrate``."""

    def outputs(self) -> Mapping[str, Any]:
        """Return the root module's outputs."""


class Tasks(Protocol):
    """One-off tasks in ECS."""

    def run(
        self,
        parameters: Mapping[str, Any],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a task to its end; what it printed."""


class Services(Protocol):
    """The pools' services in ECS."""

    def wait(self, cluster: str, expected: Mapping[str, str]) -> None:
        """Wait until services, by name, run the task definitions wanted and nothing else."""


class Smoke(Protocol):
    """One image, from the bucket to its rows."""

    def check(self, outputs: Mapping[str, Any], migrate: Mapping[str, Any]) -> str:
        """Upload an image and wait for its rows; a line about them."""
