"""checkov reads infra/ as a security reviewer would; what it must overlook says why, in a line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from infra.terraform import INFRA

CHECKOV = "checkov==3.3.30"
SKIPPED = re.compile(r"checkov:skip=(\S*?)(?::(.*))?$", re.MULTILINE)


@pytest.fixture(scope="session")
def checkov() -> list[str]:
    """Return the command that runs checkov in an environment of its own."""
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    problem = "uv is not installed"
    if uv is not None:
        command = [uv, "tool", "run", "--from", CHECKOV]
        done = subprocess.run(
            [*command, "python", "-V"], capture_output=True, text=True, timeout=280, check=False
        )
        if done.returncode == 0:
            return [*command, "checkov"]
        problem = f"{CHECKOV} cannot be had: {done.stderr[-500:]}"
    if os.environ.get("CI"):
        pytest.fail(problem)
    pytest.skip(problem)


ACCEPTED = {
    "dev": {"CKV_AWS_157", "CKV_AWS_293", "CKV_AWS_338"},
    "production": set[str](),
}
"""Checks that an environment fails on purpose. `dev` has one zone, short logs and no protection."""

NOT_RESOLVED = (
    "CKV2_*", "CKV_AWS_21", "CKV_AWS_145", "CKV_AWS_249", "CKV_AWS_300",  # references
    "CKV_AWS_144", "CKV_AWS_394",  # skipped with a reason, in comments that values don't have
)  # fmt: skip
"""Checks of references between resources, which only the sources hold."""


def scan(checkov: list[str], *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*checkov, *options, "--compact", "--quiet", "--skip-download", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 150
    return report


def failed(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return the resources that fail each check."""
    found: dict[str, list[str]] = {}
    for check in report["results"]["failed_checks"]:
        found.setdefault(check["check_id"], []).append(check["resource"])
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_scanner_finds_nothing_in_the_sources(checkov: list[str]) -> None:
    values = str(INFRA / "environments/production.tfvars")
    report = scan(
        checkov, "-d", str(INFRA), "--framework", "terraform", "--skip-path", "examples",
        "--var-file", values,
    )  # fmt: skip
    assert failed(report) == {}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_scanner_finds_what_an_environment_accepts(
    checkov: list[str], environments: dict[str, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    """The values of every resource are known here, which the sources leave open."""
    root = environments[name]["everything"]["root_module"]
    plan = tmp_path / "plan.json"
    changes = [
        {
            **{key: resource[key] for key in ("address", "mode", "type", "name")},
            "change": {"actions": ["create"], "before": None, "after": resource["values"]},
        }
        for resource in all_resources(root)
    ]
    plan.write_text(
        json.dumps(
            {
                "format_version": "1.2",
                "terraform_version": "1.11.0",
                "planned_values": {"root_module": root},
                "resource_changes": changes,
                "configuration": {"root_module": {}},
            }
        ),
        encoding="utf-8",
    )
    options = ["-f", str(plan), "--framework", "terraform_plan"]
    report = scan(checkov, *options, "--skip-check", ",".join(NOT_RESOLVED))
    assert failed(report).keys() == ACCEPTED[name], failed(report)


def all_resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (one for one in module.get("resources", ()) if one["mode"] == "managed")
    for child in module.get("child_modules", ()):
        yield from all_resources(child)


def test_whatever_is_overlooked_says_why() -> None:
    unexplained = [
        f"{path.relative_to(INFRA)}: {check}"
        for path in INFRA.rglob("*.tf")
        for check, reason in SKIPPED.findall(path.read_text(encoding="utf-8"))
        if len(reason) < 20
    ]
    assert unexplained == []
