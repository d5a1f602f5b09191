"""Build the wheels, or make a release: ``python -m tools.release``."""

import argparse
import datetime as dt
import difflib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
PRIVATE = "Private :: Do Not Upload"
"""The classifier of distributions that are used in the clone only; PyPI refuses them."""

_VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)
_OWN_DEPENDENCY = re.compile(r'(?<!name = )("retinue-[a-z-]+(?:\[[a-z,]+\])?)(?:==[^"]*)?"')
_URLS = re.compile(r"^\[project\.urls\]\n(?:.+\n)*", re.MULTILINE)
_UNRELEASED = "## [Unreleased]\n"


class ReleaseError(Exception):
    """A release can't be made; the message has the reason and the remedy."""


def projects(root: Path) -> list[Path]:
    """Return the ``pyproject.toml`` of every distribution, the root's first."""
    file = root / "pyproject.toml"
    workspace = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["uv"]["workspace"]
    return [file, *(root / member / "pyproject.toml" for member in workspace["members"])]


def current_version(root: Path) -> str:
    """Return the version of all distributions, which the root's ``pyproject.toml`` states."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def published(root: Path) -> list[str]:
    """Return the names of the distributions that are published."""
    metadata = [tomllib.loads(file.read_text(encoding="utf-8"))["project"]
                for file in projects(root)]  # fmt: skip
    return [each["name"] for each in metadata if PRIVATE not in each.get("classifiers", ())]


def with_version(project: str, version: str) -> str:
    """Return a ``pyproject.toml`` with a version, which our distributions need of each other."""
    project = _VERSION.sub(f'version = "{version}"', project, count=1)
    head, mark, rest = project.partition("\n[tool.")
    return _OWN_DEPENDENCY.sub(rf'\g<1>=={version}"', head) + mark + rest


def with_urls(project: str, url: str) -> str:
    """Return a ``pyproject.toml`` whose URLs are those of a repository."""
    url = url.rstrip("/")
    table = (
        "[project.urls]\n"
        f'Source = "{url}"\n'
        f'Documentation = "{url}/tree/main/docs"\n'
        f'Changelog = "{url}/blob/main/CHANGELOG.md"\n'
        f'Issues = "{url}/issues"\n'
    )
    without = _URLS.sub("", project)
    return without.replace("[build-system]\n", f"{table}\n[build-system]\n", 1)


def with_date(changelog: str, version: str, today: dt.date) -> str:
    """Return the changelog with the section ``Unreleased`` as that of a version.

    A section that the version has already only gets the date.

    Raises:
        ReleaseError: Nothing is listed as unreleased.
    """
    heading = f"## [{version}] - {today.isoformat()}\n"
    existing = re.compile(rf"^## \[{re.escape(version)}\].*\n", re.MULTILINE)
    if existing.search(changelog):
        return existing.sub(heading, changelog)
    before, _, after = changelog.partition(_UNRELEASED)
    if not after.partition("\n## [")[0].strip():
        raise ReleaseError("CHANGELOG.md lists no change under [Unreleased]. Add the changes.")
    return f"{before}{_UNRELEASED}\n{heading}{after}"


def changes(root: Path, version: str, url: str | None, today: dt.date) -> dict[Path, str]:
    """Return the files that a release changes, with their new text.

    Raises:
        ReleaseError: The version isn't valid or isn't newer, the changelog lists nothing, or no
            URL is known.
    """
    if not _is_at_least(version, current_version(root)):
        raise ReleaseError(
            f"VERSION={version} isn't a version of at least {current_version(root)}, such as 1.2.3"
        )
    new = {}
    for file in projects(root):
        text = with_version(file.read_text(encoding="utf-8"), version)
        if url is not None:
            text = with_urls(text, url)
        elif "[project.urls]" not in text:
            raise ReleaseError(
                f"{file.relative_to(root)} has no [project.urls]. Set SOURCE_URL to the public "
                "address of the repository, such as https://git.example/retinue"
            )
        new[file] = text
    changelog = root / "CHANGELOG.md"
    new[changelog] = with_date(changelog.read_text(encoding="utf-8"), version, today)
    return new


def _is_at_least(version: str, current: str) -> bool:
    try:
        return str(Version(version)) == version and Version(version) >= Version(current)
    except InvalidVersion:
        return False


def difference(root: Path, new: Mapping[Path, str]) -> str:
    """Return the changes as a unified diff."""
    lines: list[str] = []
    for file, text in new.items():
        name = file.relative_to(root).as_posix()
        old = file.read_text(encoding="utf-8").splitlines(keepends=True)
        lines += difflib.unified_diff(old, text.splitlines(keepends=True), name, name, n=0)
    return "".join(lines)


def build_wheels(root: Path, folder: Path) -> list[Path]:
    """Build a wheel of each published distribution into an emptied folder."""
    if folder.exists():
        shutil.rmtree(folder)
    for name in published(root):
        _run(root, find_uv_bin(), "build", "--quiet", "--wheel", "--package", name,
             "--out-dir", str(folder))  # fmt: skip
    return sorted(folder.glob("*.whl"))


def release(root: Path, version: str, url: str | None) -> None:
    """Change the files, lock, build the wheels, commit and tag.

    Raises:
        ReleaseError: The checkout has uncommitted changes, or the release can't be made.
    """
    if _run(root, "git", "status", "--porcelain"):
        raise ReleaseError("The checkout has uncommitted changes. Commit or stash them first.")
    today = dt.datetime.now(dt.UTC).date()
    for file, text in changes(root, version, url, today).items():
        file.write_text(text, encoding="utf-8")
    _run(root, find_uv_bin(), "lock", "--quiet")
    build_wheels(root, root / "dist")
    if _run(root, "git", "status", "--porcelain"):
        _run(root, "git", "commit", "--quiet", "--all", "--message", f"release: Release {version}")
    _run(root, "git", "tag", "--annotate", f"v{version}", "--message", f"Retinue {version}")


def _run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the wheels of all distributions, or make a release."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    wheels = commands.add_parser("wheels", help="build the wheels into dist")
    releasing = commands.add_parser("release", help="set the version, build, commit and tag")
    releasing.add_argument("version")
    releasing.add_argument("--source-url", help="public address of the repository")
    releasing.add_argument("--dry-run", action="store_true", help="only print the changes")
    for command in (wheels, releasing):
        command.add_argument("--root", type=Path, default=ROOT, help="the repository")
    given = parser.parse_args(arguments)
    try:
        if given.command == "wheels":
            built = build_wheels(given.root, given.root / "dist")
            sys.stdout.writelines(f"dist/{wheel.name}\n" for wheel in built)
        elif given.dry_run:
            today = dt.datetime.now(dt.UTC).date()
            new = changes(given.root, given.version, given.source_url, today)
            sys.stdout.write(difference(given.root, new))
        else:
            release(given.root, given.version, given.source_url)
            sys.stdout.write(
                f"Committed and tagged v{given.version}. "
                f"Publish it with: git push origin main v{given.version}\n"
            )
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
