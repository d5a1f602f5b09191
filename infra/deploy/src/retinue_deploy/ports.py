"""The interfaces of a deployment to other systems. Other files implement them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes of an apply.

    Attributes:
        changes: Resources by change: create, update, delete, replace.
        lost: Addresses of resources with data in them that would be destroyed.
        disrupted: Addresses of queues, logs and services that would be destroyed or replaced.
        resources: The changes by address, as in ``terraform show -json``.
    """

    changes: Mapping[str, int]
    lost: Sequence[str]
    disrupted: Sequence[str] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)


class Foundation(Protocol):
    """The bucket for Terraform's state, and the registry."""

    def ensure(self) -> None:
        """Create missing resources, and connect to the environment's state."""

    def connect(self) -> None:
        """Connect to the environment's state."""


class Images(Protocol):
    """Container images in the registry."""

    def missing(self, tag: str, variants: Sequence[str]) -> Sequence[str]:
        """Return those of a tag's variants that aren't in the registry."""

    def newest(self) -> Sequence[str]:
        """Return some existing tags, the newest first."""

    def build(self, tag: str, variant: str) -> None:
        """Build a variant on this machine."""

    def push(self, tag: str, variant: str) -> None:
        """Push a built variant."""

    def keep(self, tag: str, environment: str, variants: Sequence[str]) -> None:
        """Keep a tag's variants from expiring, because an environment runs them."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Identifies signatures that count.

    Attributes:
        identity: The workflow: ``https://github.com/OWNER/NAME/.github/workflows/…@refs/heads/…``.
        issuer: The OpenID provider that vouches for it.
    """

    identity: str
    issuer: str


class Signatures(Protocol):
    """Signatures of container images."""

    def sign(self, tag: str, variants: Sequence[str], sbom: Path) -> None:
        """Sign each variant of a tag, and attest its list of packages."""

    def verify(self, tag: str, variants: Sequence[str], signer: Signer) -> None:
        """Raise for a variant without a signature by the signer."""


class Stack(Protocol):
    """An environment in Terraform."""

    @property
    def name(self) -> str:
        """Return the environment's name."""

    def check(self) -> None:
        """Raise for invalid pools and other variables."""

    def is_protected(self) -> bool:
        """Return whether changes need a reviewed plan."""

    def signer(self) -> Signer | None:
        """Return the signer that container images need, if any."""

    def variants(self) -> Sequence[str]:
        """Return the variants of the container image that the pools need: cpu, arm64, cuda."""

    def wanted_vcpus(self) -> float:
        """Return the vCPUs that Fargate needs if every pool is at its maximum."""

    def plan(self, tag: str, *, migrations_only: bool = False) -> Plan:
        """Plan the application of a tag."""

    def apply(self) -> None:
        """Apply the last plan."""

    def migrate_parameters(self) -> Mapping[str, Any]:
        """Return the parameters of ECS's RunTask for ``retinue migrate``."""

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
        """Run a task to its end, and return its output."""


class Services(Protocol):
    """The pools' services in ECS."""

    def wait(self, cluster: str, expected: Mapping[str, str]) -> None:
        """Wait until the named services run only the wanted task definitions."""


class Smoke(Protocol):
    """A smoke test: one image, from the bucket to its rows."""

    def check(self, outputs: Mapping[str, Any], migrate: Mapping[str, Any]) -> str:
        """Upload an image and wait for its rows. Return a line about them."""
