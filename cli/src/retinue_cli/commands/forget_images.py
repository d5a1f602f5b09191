"""Forgetting images from the command line: `retinue forget --image` and `--prefix`."""

import json
from collections import Counter
from collections.abc import Mapping

import click
from retinue_history import HistoryError
from retinue_history.privacy.erasure import Erasure
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject, ImageTraces
from sqlalchemy import Engine

from retinue_cli.output.progress import progress

ROUNDS = 5
"""How often what is left is looked for and removed, before something must be putting it back."""

_SAID = {"images": "images", "runs": "runs", "detections": "detections", "removals": "removals"}


def forget_images(engine: Engine, subject: ImageSubject, *, dry_run: bool, yes: bool) -> None:
    """Say what there is of some images, ask, remove it, verify, and say what was removed.

    Args:
        engine: The history, as its owner.
        subject: Which images.
        dry_run: Only say what there is.
        yes: Do not ask.

    Raises:
        HistoryError: The database is away, or something keeps bringing the images back. What was
            removed stays so; the same command goes on.
    """
    erasures = ImageErasures(engine)
    found = erasures.count(subject)
    last = erasures.last(subject)
    unfinished = last is not None and last.completed_at is None
    if found.is_empty and last is not None and not unfinished:
        click.echo(f"{subject.name} was forgotten on {last.completed_at}; nothing is left")
        return
    click.echo(_plan(subject, found, unfinished=unfinished))
    if dry_run:
        click.echo("nothing was removed: this was a dry run")
        return
    if not yes:
        click.confirm("Remove all of it from the history? This cannot be undone", abort=True)
    done = _forget(erasures, subject, found)
    click.echo(f"forgot {subject.name}: {_described(done.removed) or 'nothing was there'}")
    click.echo(f"erasure {done.erasure_id}: {json.dumps(dict(done.removed))}")
    click.echo("the objects in S3 were not touched; delete them there if they are to go too")


def allow_again(engine: Engine, subject: ImageSubject) -> None:
    """Let images that were forgotten be recorded again.

    Raises:
        HistoryError: Their erasure is not finished.
    """
    erasures = ImageErasures(engine)
    last = erasures.last(subject)
    if last is not None and last.completed_at is None:
        raise HistoryError(
            f"{subject.name} is being forgotten, and that is not finished: run the same command "
            "without --allow-again first"
        )
    if erasures.allow_again(subject):
        click.echo(f"{subject.name} may be recorded again; `retinue backfill` asks for it")
    else:
        click.echo(f"{subject.name} was not forbidden; was it forgotten by another spelling?")


def _forget(erasures: ImageErasures, subject: ImageSubject, found: ImageTraces) -> Erasure:
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
                f"something brings {subject.name} back: is somebody loading a backup at the same "
                "time? Stop it, and run this command again"
            )
    click.echo("verified: nothing is left in the history")
    return erasures.close(erasure_id)


def _plan(subject: ImageSubject, found: ImageTraces, *, unfinished: bool) -> str:
    lines = [f"{subject.name}:"]
    if unfinished:
        lines.append("  (an erasure was begun and interrupted; this goes on with it)")
    lines.append(
        f"  history: {found.images:,} images with {found.runs:,} runs and {found.detections:,} "
        f"detections, {found.removals:,} removals"
    )
    if found.images and subject.bucket is None:
        lines.append(f"  in {', '.join(found.buckets)}")
    if found.is_empty:
        lines.append("  nothing is known of it; it can be forbidden all the same")
    lines.append("  the objects in S3 stay, and what was uploaded until now is not recorded again")
    return "\n".join(lines)


def _described(removed: Mapping[str, int]) -> str:
    counts = Counter(removed)
    return ", ".join(f"{counts[key]:,} {name}" for key, name in _SAID.items() if counts[key])
