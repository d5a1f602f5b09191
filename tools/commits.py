"""Check commit subjects: ``python -m tools.commits``, or ``--message FILE`` from a Git hook."""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_CHARACTERS = 72

_SUBJECT = re.compile(r"(?P<scope>[a-z][\w./-]*(?:, [a-z][\w./-]*)*): (?P<verb>[A-Z][\w-]*)\b.*")
_MERGE_OR_REVERT = re.compile(r'(?:Merge |Revert "|(?:fixup|squash|amend)! )')
_NOT_VERBS = {
    "A", "All", "An", "And", "Each", "Every", "For", "How", "If", "In", "It", "New", "No", "Now",
    "On", "Some", "That", "The", "There", "These", "This", "Two", "What", "When", "Which", "With",
}  # fmt: skip
_IMPERATIVES = {
    "Bias", "Bring", "Embed", "Exceed", "Feed", "Focus", "Need", "Ping", "Proceed", "Ring", "Seed",
    "Shed", "Speed", "String", "Succeed",
}  # fmt: skip
"""Verbs that end as if they weren't in the imperative."""


def faults(subject: str) -> list[str]:
    """Return the problems of a commit's subject.

    Whether a word is a verb in the imperative is only guessed, from a list of other words and from
    the endings -s, -ed and -ing.
    """
    if _MERGE_OR_REVERT.match(subject):
        return []
    found = []
    if len(subject) > MAX_CHARACTERS:
        found.append(f"has {len(subject)} characters; at most {MAX_CHARACTERS} are allowed")
    match = _SUBJECT.fullmatch(subject)
    if match is None:
        found.append("isn't of the form `scope: Imperative`, such as `worker: Commit in groups`")
    elif not _is_imperative(match["verb"]):
        found.append(f"{match['verb']!r} isn't a verb in the imperative, such as Add, Fix or Keep")
    return found


def _is_imperative(word: str) -> bool:
    if word in _IMPERATIVES:
        return True
    declined = word.endswith(("ed", "ing")) or (word.endswith("s") and not word.endswith("ss"))
    return word not in _NOT_VERBS and not declined


def subjects(root: Path) -> list[tuple[str, str]]:
    """Return hash and subject of each commit since the one that added this check.

    A shallow clone has fewer commits, and its oldest seems to add every file; so the ones after it
    are returned. Outside of Git there are none.
    """
    if not (root / ".git").exists():
        return []
    name = Path(__file__).relative_to(ROOT).as_posix()
    added = _git(root, "log", "-1", "--diff-filter=A", "--format=%H", "--", name).strip()
    if not added:
        return []  # not committed yet
    lines = _git(root, "log", "--no-merges", "--format=%h%x00%s", f"{added}..HEAD").splitlines()
    return [(commit, subject) for commit, _, subject in (line.partition("\0") for line in lines)]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each wrong subject. Return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.commits", description=main.__doc__)
    parser.add_argument("--message", metavar="FILE", type=Path, help="check one message instead")
    parser.add_argument("--root", metavar="FOLDER", type=Path, default=ROOT, help="the repository")
    given = parser.parse_args(arguments)
    if given.message is None:
        checked = subjects(given.root)
    else:
        checked = [("message", given.message.read_text(encoding="utf-8").partition("\n")[0])]
    wrong = [(commit, subject, fault) for commit, subject in checked for fault in faults(subject)]
    for commit, subject, fault in wrong:
        sys.stderr.write(f"{commit} {subject}\n    the subject {fault}\n")
    if not wrong:
        sys.stdout.write(f"{len(checked)} commit subjects checked\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
