"""A small AWS in memory: what a deployment needs of the world, breaking where it is told to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retinue_deploy.deployment import World
from retinue_deploy.errors import DeployError, TaskFailedError
from retinue_deploy.ports import Plan, Signer

REVISIONS = {"old": 1, "new": 2}
"""The schema that the image of each tag was written for."""


class BrokenError(DeployError):
    """The fault that a test asked for."""


@dataclass
class Cloud:
    """The emulated cloud, with a log of all changes in order.

    Attributes:
        breaks_at: Number of the call that fails, counted from 0; none if they all work.
        after: Whether that call does its work before it fails.
        broken: Tags whose migration fails.
    """

    breaks_at: int | None = None
    after: bool = False
    broken: frozenset[str] = frozenset()
    lost: tuple[str, ...] = ()
    disrupted: tuple[str, ...] = ()
    vcpus: float = 4.0
    cuda: bool = False
    protected: bool = False
    signed: frozenset[str] | None = None
    change: str = "reviewed"

    based: bool = False
    built: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    planned: tuple[str, bool] | None = None
    task: str | None = None
    revision: int = 0
    service: str | None = None
    looked: bool = False
    calls: list[str] = field(default_factory=list)

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Do something inside, unless it is to fail."""
        number, self.breaks_at = len(self.calls), self.breaks_at
        self.calls.append(name)
        if number == self.breaks_at and not self.after:
            raise BrokenError(f"{name} broke")
        yield
        if number == self.breaks_at:
            raise BrokenError(f"{name} broke after its work")

    def world(self) -> World:
        """Return the interfaces for ``deploy``."""
        return World(self, self, self, _Tasks(self), _Services(self), _Smoke(self), self)

    # Foundation
    def ensure(self) -> None:
        with self.call("ensure"):
            self.based = True

    def connect(self) -> None:
        assert self.based

    # Images
    def missing(self, tag: str, variants: Sequence[str]) -> Sequence[str]:
        assert self.based
        with self.call("missing"):
            names = {"cpu": tag, "cuda": f"{tag}-cuda"}
            return [variant for variant in variants if names[variant] not in self.tags]

    def newest(self) -> Sequence[str]:
        return sorted(self.tags)

    def build(self, tag: str, variant: str) -> None:
        with self.call("build"):
            self.built.add(f"{tag}{'-cuda' if variant == 'cuda' else ''}")

    def push(self, tag: str, variant: str) -> None:
        name = f"{tag}{'-cuda' if variant == 'cuda' else ''}"
        assert name in self.built
        with self.call("push"):
            assert name not in self.tags, "ECR refuses: its tags are immutable"
            self.tags.add(name)

    def keep(self, tag: str, environment: str, variants: Sequence[str]) -> None:
        assert tag in self.tags
        with self.call("keep"):
            self.kept.add(f"{environment} {tag}")

    # Stack
    name = "test"

    def check(self) -> None:
        with self.call("check"):
            assert self.based

    def signer(self) -> Signer | None:
        return Signer("https://workflow", "https://issuer") if self.signed is not None else None

    def sign(self, tag: str, variants: Sequence[str], sbom: Path) -> None:
        self.signed = (self.signed or frozenset()) | {tag}

    def verify(self, tag: str, variants: Sequence[str], signer: Signer) -> None:
        assert signer.identity == "https://workflow"
        if self.signed is None or not {tag} <= self.signed:
            raise DeployError(f"{tag} has no signature")

    def is_protected(self) -> bool:
        return self.protected

    def variants(self) -> Sequence[str]:
        with self.call("variants"):
            return ["cpu", "cuda"] if self.cuda else ["cpu"]

    def wanted_vcpus(self) -> float:
        with self.call("wanted_vcpus"):
            return self.vcpus

    def plan(self, tag: str, *, migrations_only: bool = False) -> Plan:
        assert self.based
        assert tag in self.tags
        with self.call("plan"):
            self.planned = (tag, migrations_only)
            change = {"actions": ["create"], "after": {"value": self.change}, "after_unknown": {}}
            return Plan({"create": 1}, self.lost, self.disrupted, {"a": change})

    def apply(self) -> None:
        assert self.planned is not None
        (tag, migrations_only), self.planned = self.planned, None
        with self.call("apply migrations" if migrations_only else "apply"):
            self.task = tag
            if not migrations_only:
                assert f"{self.name} {tag}" in self.kept, "ECR may delete what runs"
                self.service = tag

    def migrate_parameters(self) -> Mapping[str, Any]:
        assert self.task is not None
        return {"taskDefinition": self.task}

    def outputs(self) -> Mapping[str, Any]:
        assert self.service is not None
        pool = {"service_name": "labels", "task_definition_arn": self.service}
        return {"cluster_name": "c", "pools": {"labels": pool}}


@dataclass
class _Tasks:
    cloud: Cloud

    def run(
        self,
        parameters: Mapping[str, Any],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        del command, environment
        tag = str(parameters["taskDefinition"])
        with self.cloud.call("migrate"):
            if tag in self.cloud.broken:
                raise TaskFailedError("the task failed: no such column")
            if REVISIONS[tag] < self.cloud.revision:
                raise TaskFailedError("the task failed: the database is newer")
            self.cloud.revision = REVISIONS[tag]
        return "migrated"


@dataclass
class _Services:
    cloud: Cloud

    def wait(self, cluster: str, expected: Mapping[str, str]) -> None:
        with self.cloud.call("wait"):
            assert expected == {"labels": self.cloud.service}


@dataclass
class _Smoke:
    cloud: Cloud

    def check(self, outputs: Mapping[str, Any], migrate: Mapping[str, Any]) -> str:
        with self.cloud.call("smoke"):
            assert self.cloud.service is not None
            self.cloud.looked = True
        return "2 runs"


class Silent:
    """Is told, and says nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        yield
        self.lines.append(title)

    def say(self, line: str) -> None:
        self.lines.append(line)
