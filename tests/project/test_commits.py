"""Subjects of commits."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import commits

CHECK = "tools/commits.py"


@pytest.mark.parametrize(
    "subject",
    [
        "worker: Commit in groups of up to 100",
        "history, sdk: Turn final into retryable",
        "plugins/onnx: Process images in batches",
        "ci: Bring the stack to the nightly run",
        "docs: " + "X" * 66,
        "Merge branch 'main' into release",
        'Revert "worker: Commit in groups of up to 100"',
    ],
)
def test_a_good_subject_passes(subject: str) -> None:
    assert commits.faults(subject) == []


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("worker: Commits in groups", "'Commits' isn't a verb in the imperative"),
        ("worker: Committed in groups", "isn't a verb"),
        ("worker: Committing in groups", "isn't a verb"),
        ("worker: The commit is grouped", "isn't a verb"),
        ("Commit in groups", "isn't of the form"),
        ("worker: commit in groups", "isn't of the form"),
        ("Worker: Commit in groups", "isn't of the form"),
        ("", "isn't of the form"),
        ("docs: " + "X" * 67, "has 73 characters; at most 72"),
    ],
)
def test_a_bad_subject_says_why(subject: str, fault: str) -> None:
    [found] = commits.faults(subject)
    assert fault in found


@given(st.text())
def test_no_subject_breaks_the_check(subject: str) -> None:
    assert bool(commits.faults(f"{subject}\0")) or subject.startswith(("Merge ", 'Revert "'))


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with a commit before the check, its commit, and two later ones."""
    folder = tmp_path / "origin"
    git(tmp_path, "init", "--quiet", "origin")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "An old commit")
    (folder / "tools").mkdir()
    (folder / CHECK).touch()
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the check itself")
    for subject in ("docs: Describe the check", "Describe nothing"):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", subject)
    return folder


def test_only_commits_since_the_check_count(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [subject for _, subject in commits.subjects(repository)]
    assert found == ["Describe nothing", "docs: Describe the check"]
    assert commits.main(["--root", str(repository)]) == 1
    assert "Describe nothing\n    the subject isn't of the form" in capsys.readouterr().err


@pytest.mark.parametrize(("depth", "checked"), [(1, 0), (2, 1), (3, 2)])
def test_a_shallow_clone_checks_the_commits_it_has(
    repository: Path, tmp_path: Path, depth: int, checked: int
) -> None:
    git(tmp_path, "clone", "--quiet", f"--depth={depth}", repository.as_uri(), "clone")
    assert len(commits.subjects(tmp_path / "clone")) == checked


def test_there_is_nothing_to_check_outside_of_git(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commits.main(["--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "0 commit subjects checked\n"


def test_a_message_is_checked_by_its_first_line(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text("docs: Describe the check\n\nwhy\n", encoding="utf-8")
    assert commits.main(["--message", str(message)]) == 0
    message.write_text("describe the check\n", encoding="utf-8")
    assert commits.main(["--message", str(message)]) == 1
