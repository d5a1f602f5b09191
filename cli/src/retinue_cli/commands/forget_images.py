"""Forget images: `retinue forget --image` and `--prefix`."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from retinue_history import HistoryError
from retinue_history.privacy.erasure import Erasure, Erasures
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject, ImageTraces
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings
from sqlalchemy import Engine

from retinue_cli.options.json_flag import Say, say_beside
from retinue_cli.output.progress import progress
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_cli.data.archive.archive import Archive
    from retinue_cli.data.archive.manifest import ArchivedFile
    from retinue_cli.local.state import State

ROUNDS = 5
"""How often remaining traces are removed before the command fails."""

_SAID = {
    "images": "image",
    "runs": "run",
    "detections": "detection",
    "removals": "removal",
    "truths": "truth",
    "answers": "answer",
    "jobs": "job",
    "archived_detections": "archived detection",
}


def forget_images(
    engine: Engine,
    subject: ImageSubject,
    state: "State | None",
    archive: "Archive | None",
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Erasure | None:
    """Print the traces of some images, ask, remove them, verify, and print the result.

    Args:
        engine: The history, as its owner.
        subject: The images.
        state: The laptop's folder, if it contains the history.
        archive: The archive with months of the history.
        dry_run: Only print the traces.
        yes: Don't ask.
        as_json: Print on standard error.

    Returns:
        The erasure; ``None`` if it was a dry run.

    Raises:
        ConfigurationError: They aren't in the history.
        HistoryError: The database is unavailable, or another program keeps recording the images.
            Removed traces stay removed. The same command continues.
    """
    say = say_beside(as_json=as_json)
    erasures = ImageErasures(engine)
    found = erasures.count(subject)
    archived = _archived(archive, subject)
    is_empty = found.is_empty and not archived
    last = erasures.last(subject)
    unfinished = last is not None and last.completed_at is None
    if is_empty and last is not None and not unfinished:
        say(f"{subject.name} was forgotten on {last.completed_at}; nothing is left")
        return last
    if is_empty and not unfinished:
        whole = "; a part of a key isn't enough" if subject.kind == "key" else ""
        raise ConfigurationError(f"the history has no data of {subject.name!r}{whole}")
    say(_plan(subject, found, unfinished=unfinished, is_laptop=state is not None))
    if archive is not None:
        say(
            f"  archive {archive.place.name}: {count(archived.total(), 'detection')} in "
            f"{count(len(archived), 'file')}"
        )
    if dry_run:
        say("nothing was removed: this was a dry run")
        return None
    if not yes:
        click.confirm(
            "Remove all of it from the history? This cannot be undone", abort=True, err=as_json
        )
    with nullcontext() if state is None else state.lock():
        if state is not None:
            _forget_traces(state, erasures.keys(subject), say)
        done = _forget(engine, subject, found, archive, archived, say)
    say(f"forgot {subject.name}: {_described(done.removed) or 'nothing was there'}")
    say(f"erasure {done.erasure_id}: {json.dumps(dict(done.removed))}")
    if state is None:
        say("the objects stay in S3; delete them there")
    else:
        from retinue_cli.local.traces import NOT_REACHED

        say(NOT_REACHED)
    return done


def allow_again(engine: Engine, subject: ImageSubject, say: Say) -> bool:
    """Allow forgotten images to be recorded again. Return whether they were forbidden.

    Raises:
        HistoryError: Their erasure isn't finished.
    """
    erasures = ImageErasures(engine)
    last = erasures.last(subject)
    if last is not None and last.completed_at is None:
        raise HistoryError(
            f"{subject.name} isn't completely forgotten: run the same command without "
            "--allow-again first"
        )
    was_forbidden = erasures.allow_again(subject)
    if was_forbidden:
        say(f"{subject.name} may be recorded again; `retinue backfill` sends it")
    else:
        say(f"{subject.name} isn't forbidden; check the spelling")
    return was_forbidden


def _forget_traces(state: "State", images: Mapping[UUID, str], say: Say) -> None:
    """Remove the laptop's traces outside the history.

    This comes first, because it needs the history.
    """
    from retinue_cli.local.traces import remove_traces

    pictures, lines = remove_traces(state, images)
    removed = f"{count(pictures, 'picture')}, {count(lines, 'line')} of logs"
    say(f"removed from {state.directory}: {removed}")


def _archived(
    archive: "Archive | None", subject: ImageSubject, until: datetime | None = None
) -> Counter["ArchivedFile"]:
    """Count the archived detections of images, by file."""
    if archive is None:
        return Counter()
    from retinue_cli.data.archive.erase import count_rows, doomed_images

    rows = sum(file.rows for file in archive.files)
    with progress("archived detections", rows) as advance:
        return count_rows(archive, doomed_images(subject, until), advance)


def _forget(
    engine: Engine,
    subject: ImageSubject,
    found: ImageTraces,
    archive: "Archive | None",
    archived: Counter["ArchivedFile"],
    say: Say,
) -> Erasure:
    erasures = ImageErasures(engine)
    erasure_id, until = erasures.open(subject)
    erasures.wait_for_writers()
    with progress("images", found.images) as advance:
        for _ in range(ROUNDS):
            for removed in erasures.erase(erasure_id, subject, until):
                advance(removed.get("images", 0))
            if erasures.count(subject, until).is_empty:
                break
        else:
            raise HistoryError(
                f"another program keeps recording {subject.name}, such as the restore of a backup. "
                "Stop it, and run this command again"
            )
    say("verified: nothing is left in the history")
    if archive is not None:
        from retinue_cli.data.archive.erase import doomed_images, erase_rows

        for rows in erase_rows(archive, doomed_images(subject, until), archived):
            Erasures(engine).add(erasure_id, archived_detections=rows)
        if _archived(archive, subject, until):
            raise HistoryError(
                f"another program wrote to the archive {archive.place.name}. Stop it, and run this "
                "command again"
            )
        say("verified: nothing is left in the archive")
        say_unreachable(archive, say)
    return erasures.close(erasure_id)


def say_unreachable(archive: "Archive", say: Say) -> None:
    """Name what an erasure of the archive can't reach."""
    if archive.place.unreachable is not None:
        say(f"older versions of the deleted files may remain: {archive.place.unreachable}")
    elif archive.place.is_bucket:
        say("replicas and backups of the bucket stay; delete them there")


def _plan(subject: ImageSubject, found: ImageTraces, *, unfinished: bool, is_laptop: bool) -> str:
    lines = [f"{subject.name}:"]
    if unfinished:
        lines.append("  (continues an interrupted erasure)")
    lines.append(
        f"  history: {count(found.images, 'image')} with {count(found.runs, 'run')} and "
        f"{count(found.detections, 'detection')}, {count(found.removals, 'removal')}, "
        f"{count(found.truths, 'truth')} and {count(found.answers, 'answer')}"
    )
    if found.jobs:
        lines.append(
            f"  {count(found.jobs, 'open job')}: results will not be recorded, and the service "
            "bills a job that has started"
        )
    if found.images and subject.bucket is None and not is_laptop:
        lines.append(f"  buckets: {', '.join(found.buckets)}")
    if is_laptop:
        lines.append("  this machine: pictures of them, and lines of logs that name them")
        lines.append("  the photographs stay; the next `retinue run` looks at them again")
    else:
        lines.append("  the objects in S3 stay, and uploads until now are not recorded again")
    return "\n".join(lines)


def _described(removed: Mapping[str, int]) -> str:
    counts = Counter(removed)
    return ", ".join(count(counts[key], noun) for key, noun in _SAID.items() if counts[key])


def laptop_of(settings: Settings) -> "State | None":
    """Return the laptop's folder, if it contains the history."""
    if settings.database_url is not None:
        return None
    from retinue_cli.local.state import State

    return State.find()


def erasure_as_json(subject: str, done: Erasure | None) -> dict[str, Any]:
    """Return an erasure as JSON; after a dry run, nothing was removed."""
    return {
        "subject": subject,
        "erasure_id": done and done.erasure_id,
        "removed": {} if done is None else dict(done.removed),
        "completed_at": done and done.completed_at,
    }
