"""checkov reads infra/ as a security reviewer would; what it must overlook says why, in a line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_scanner_finds_what_an_environment_accepts(checkov: list[str], name: str) -> None:
    done = subprocess.run(
        [*checkov, "-d", str(INFRA), "--framework", "terraform", "--compact", "--quiet",
         "--skip-download", "-o", "json", "--var-file", str(INFRA / f"environments/{name}.tfvars")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    summary = report["summary"]
    failed = report["results"]["failed_checks"]
    assert {check["check_id"] for check in failed} == ACCEPTED[name], [
        f"{check['check_id']} {check['resource']}: {check['check_name']}" for check in failed
    ]
    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 200


def test_whatever_is_overlooked_says_why() -> None:
    unexplained = [
        f"{path.relative_to(INFRA)}: {check}"
        for path in INFRA.rglob("*.tf")
        for check, reason in SKIPPED.findall(path.read_text(encoding="utf-8"))
        if len(reason) < 20
    ]
    assert unexplained == []
