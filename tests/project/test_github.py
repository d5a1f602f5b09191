"""GitHub's files are valid, and what they call exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
ACTION = re.compile(r"uses: (\S+)@(\S+)(.*)")


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z./-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [GITHUB / "dependabot.yml"]),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
        ("github-issue-forms", sorted(GITHUB.glob("ISSUE_TEMPLATE/[!c]*.yml"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_obey_their_schema(schema: str, files: list[Path]) -> None:
    assert files
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*check, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


CALLED = {"check", "docs", "publish", "test-faults", "test-image", "test-stack", "test-wheels"}
"""Make targets that workflows must call."""


def test_workflows_only_call_make_targets_that_exist() -> None:
    commands = [
        step["run"]
        for workflow in WORKFLOWS
        for job in yaml.safe_load(workflow.read_text("utf-8"))["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    called = [re.fullmatch(r"(?:sudo \S+ )?make (\S+)", command) for command in commands]
    assert None not in called, commands
    assert CALLED <= {match[1] for match in called if match} <= targets()


@pytest.mark.parametrize(
    "file",
    [".devcontainer/devcontainer.json", ".github/pull_request_template.md", "CONTRIBUTING.md"],
)
def test_instructions_only_name_make_targets_that_exist(file: str) -> None:
    named = set(re.findall(r"[`\"$] ?make ([a-z./-]+)", (ROOT / file).read_text("utf-8")))
    assert named
    assert named <= targets()


def test_pre_commit_only_calls_make_targets_that_exist() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    called = {entry.removeprefix("make ") for entry in entries if entry.startswith("make ")}
    assert called
    assert called <= targets()


def test_actions_are_pinned_by_commit_and_name_their_version() -> None:
    text = "".join(workflow.read_text("utf-8") for workflow in WORKFLOWS)
    actions = ACTION.findall(text)
    assert actions
    pinned = [re.fullmatch(r"[0-9a-f]{40}", commit) for _, commit, _ in actions]
    assert None not in pinned
    assert {comment[:4] for _, _, comment in actions} == {" # v"}


def test_ci_runs_what_the_workflows_run() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert {"check", "test-stack", "test-wheels"} <= set(re.findall(r"[a-z-]+", script))
