"""The metadata of all distributions, third-party notices, and releases."""

import datetime as dt
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from retinue_cli.app import retinue

from tools import release

ROOT = Path(__file__).parents[2]
TODAY = dt.date(2026, 12, 24)
VENDORED = (
    *("*.onnx", "*.pem", "*.js", "*.jpg", "*.png", "*.LICENSE"),
    ":(exclude,glob)console/src/retinue_console/static/*.js",  # ours; others are in vendored/
    ":(exclude)infra/modules/image_bucket/canary.png",  # drawn for it
)


def metadata(file: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))["project"]
    return project


def own_requirements(project: dict[str, Any]) -> list[Requirement]:
    """Return what a distribution and its extras need of our own distributions."""
    extras = project.get("optional-dependencies", {}).values()
    needed = [Requirement(text) for texts in (project["dependencies"], *extras) for text in texts]
    return [each for each in needed if each.name.startswith("retinue")]


@pytest.mark.parametrize(
    "file", release.projects(ROOT), ids=lambda file: str(file.relative_to(ROOT).parent)
)
def test_a_distribution_says_what_it_is(file: Path) -> None:
    project = metadata(file)
    assert project["version"] == release.current_version(ROOT)
    assert "Apache-2.0" in project["license"]
    assert project["license-files"][0] == "LICENSE"
    license_ = file.with_name("LICENSE").read_text("utf-8")
    assert license_ == (ROOT / "LICENSE").read_text("utf-8")
    assert project["authors"] == [{"name": "The Retinue contributors"}]
    assert len(file.with_name(project["readme"]).read_text("utf-8")) > 100
    assert project["description"].endswith(".")
    assert project["classifiers"] == [release.PRIVATE] or (
        project["keywords"] and "Programming Language :: Python :: 3.11" in project["classifiers"]
    )
    pins = {str(each.specifier) for each in own_requirements(project)}
    assert pins <= {f"=={project['version']}"}


def test_published_distributions_need_no_unpublished_ones() -> None:
    published = release.published(ROOT)
    assert "retinue" in published
    assert {"retinue-hostile", "retinue-deploy"}.isdisjoint(published)
    for project in map(metadata, release.projects(ROOT)):
        extras = project.get("optional-dependencies", {}).values()
        needed = {
            Requirement(t).name for texts in (project["dependencies"], *extras) for t in texts
        }
        if project["name"] in published:
            assert {name for name in needed if name.startswith("retinue")} <= set(published)


def test_the_command_line_tells_the_version() -> None:
    said = CliRunner().invoke(retinue, ["--version"]).output
    assert said.split()[-1] == release.current_version(ROOT)


def test_every_vendored_file_is_in_the_notices() -> None:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--", *VENDORED], check=True, capture_output=True, text=True
    ).stdout.split()
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text("utf-8")
    assert listed
    assert [file for file in listed if Path(file).name not in notices] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of the files that a release changes, with one change to release."""
    folder = tmp_path / "clone"
    for file in release.projects(ROOT):
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased = "## [Unreleased]\n"
    before, _, after = changelog.partition(unreleased)
    (folder / "CHANGELOG.md").write_text(
        f"{before}{unreleased}\n### Added\n\n- A release.\n{after}", encoding="utf-8"
    )
    return folder


def test_a_release_sets_one_version_everywhere(clone: Path) -> None:
    new = release.changes(clone, "9.8.7", "https://git.example/retinue/", TODAY)
    for file, text in new.items():
        file.write_text(text, encoding="utf-8")
    for project in map(metadata, release.projects(clone)):
        assert project["version"] == "9.8.7"
        assert project["urls"]["Source"] == "https://git.example/retinue"
        assert {str(each.specifier) for each in own_requirements(project)} <= {"==9.8.7"}
    changelog = (clone / "CHANGELOG.md").read_text("utf-8")
    assert "## [Unreleased]\n\n## [9.8.7] - 2026-12-24\n\n### Added\n\n- A release.\n" in changelog
    # The URL is known from now on, and the section is there.
    assert release.changes(clone, "9.8.7", None, TODAY) == new


def test_a_dry_run_changes_nothing_and_shows_each_change(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    url = "https://git.example/retinue"
    command = ["release", "9.8.7", "--dry-run", "--source-url", url, "--root", str(clone)]
    assert release.main(command) == 0
    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == before
    said = capsys.readouterr().out
    assert said.count('+version = "9.8.7"') == len(release.projects(ROOT))
    assert '+    "retinue-sdk==9.8.7",' in said
    assert f'+Source = "{url}"' in said


@pytest.mark.parametrize(
    ("version", "url", "reason"),
    [
        ("0.1.9", "https://git.example/x", "isn't a version of at least"),
        ("nine", "https://git.example/x", "isn't a version of at least"),
        ("v9.0.0", "https://git.example/x", "isn't a version of at least"),
        ("9.0.0", None, "Set SOURCE_URL to the public address"),
    ],
)
def test_a_release_that_cannot_be_made_says_why(
    clone: Path, version: str, url: str | None, reason: str
) -> None:
    with pytest.raises(release.ReleaseError, match=reason):
        release.changes(clone, version, url, TODAY)


def test_a_release_without_changes_is_refused() -> None:
    with pytest.raises(release.ReleaseError, match="Add the changes"):
        release.with_date("# Changelog\n\n## [Unreleased]\n\n## [1.0.0]\n", "1.1.0", TODAY)


def test_a_release_of_uncommitted_changes_is_refused(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", clone], check=True)
    command = ["release", "9.8.7", "--source-url", "https://git.example/x", "--root", str(clone)]
    assert release.main(command) == 1
    assert "Commit or stash them first" in capsys.readouterr().err
