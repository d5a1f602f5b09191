"""Check a command's requirements first, and report all problems together."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from retinue_deploy.account import Account
from retinue_deploy.builder import find_builder
from retinue_deploy.environment import tfvars
from retinue_deploy.errors import DeployError

TERRAFORM = (1, 11)
"""The oldest supported Terraform, which can lock the state in its bucket (``use_lockfile``)."""


@dataclass
class Prerequisites:
    """The results of the checks.

    Attributes:
        problems: Problems that must be fixed first.
        warnings: Problems that may matter later.
        builder: The container builder, if any.
        region: The region, if it is known.
        account_id: The account, if credentials are valid.
        quota_vcpus: Fargate's vCPU quota, if known.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    builder: str | None = None
    region: str | None = None
    account_id: str | None = None
    quota_vcpus: float | None = None

    def raise_if_any(self) -> None:
        """Raise if there is a problem.

        Raises:
            DeployError: The message names all problems.
        """
        if self.problems:
            listed = "\n".join(f"  - {problem}" for problem in self.problems)
            raise DeployError(f"nothing was changed. First:\n{listed}")


def check(
    file: Path,
    *,
    region: str | None,
    builds: bool,
    open_account: Callable[[str | None], Account] = Account,
    terraform_version: Callable[[], tuple[int, int] | None] | None = None,
    builder: Callable[[], str | None] = find_builder,
) -> Prerequisites:
    """Check all requirements of a command.

    Args:
        file: The environment's tfvars file.
        region: The operator's region, if given.
        builds: Whether the command may build a container image.
        open_account: Signs in.
        terraform_version: Returns Terraform's version.
        builder: Finds a container builder.
    """
    findings = Prerequisites()
    found = (terraform_version or installed_terraform)()
    if found is None:
        findings.problems.append(
            f"Terraform is missing: install {_text(TERRAFORM)} or newer "
            "(https://developer.hashicorp.com/terraform/install)"
        )
    elif found < TERRAFORM:
        findings.problems.append(
            f"Terraform is {_text(found)}: install {_text(TERRAFORM)} or newer"
        )
    if builds:
        findings.builder = builder()
        if findings.builder is None:
            findings.problems.append(
                "no container builder: start Docker, install Podman or Buildah, or give IMAGE_TAG= "
                "of a container image that is in the registry"
            )
    if (named := tfvars(file, "environment")) != file.stem:
        findings.problems.append(
            f'{file.name} sets environment = {json.dumps(named)}: it must be "{file.stem}", like '
            "the file's name"
        )
    _check_account(findings, file, region, open_account)
    return findings


def _check_account(
    findings: Prerequisites,
    file: Path,
    region: str | None,
    open_account: Callable[[str | None], Account],
) -> None:
    fixed = tfvars(file, "region")
    if fixed and region and fixed != region:
        findings.problems.append(f"REGION is {region}, and {file.name} says {fixed}: which?")
    try:
        account = open_account(fixed or region)
        findings.region = account.region
        if findings.region is None:
            findings.problems.append("no region: give REGION=, or set AWS_REGION")
            # The identity is the same in every region, so use any.
            account = open_account("us-east-1")
        elif not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", findings.region):
            findings.problems.append(f"{findings.region!r} isn't an AWS region, such as eu-west-1")
            return
        elif _asks_rekognition(file) and findings.region not in (
            known := account.regions_with("rekognition")
        ):
            findings.problems.append(
                f"{file.name} has detectors of Rekognition, which is not in "
                f"{findings.region} as far as boto3 knows. It is in {', '.join(known)}"
            )
        findings.account_id = account.identity()
    except DeployError as error:
        findings.problems.append(str(error))
        return
    expected = tfvars(file, "account_id")
    if expected and expected != findings.account_id:
        findings.problems.append(
            f"these credentials are for the account {findings.account_id}, and "
            f"{file.name} wants {expected}: choose another AWS_PROFILE"
        )
    findings.quota_vcpus = account.fargate_vcpus() if findings.region else None
    if findings.region and findings.quota_vcpus is None:
        findings.warnings.append(
            "cannot see Fargate's quota (servicequotas:GetServiceQuota): if tasks do not start, "
            "look there"
        )


def _asks_rekognition(file: Path) -> bool:
    """Return whether a pool has a detector of Rekognition, according to the file's text."""
    text = file.read_text(encoding="utf-8")
    return re.search(r"^[^#]*\brekognition-\w", text, re.MULTILINE) is not None


def installed_terraform() -> tuple[int, int] | None:
    """Return Terraform's version, major and minor; ``None`` if it isn't installed."""
    program = shutil.which("terraform")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603 - found on PATH
        [program, "version"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.search(r"v(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
