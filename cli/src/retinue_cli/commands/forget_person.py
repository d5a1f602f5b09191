"""Forget a person: `retinue faces forget`, and `retinue forget --person`."""

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click
from retinue_history.privacy.erasure import Erasure, Erasures
from retinue_history.privacy.people import People
from sqlalchemy import Engine

from retinue_cli.commands.forget_images import say_unreachable
from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.forget import Forgetting, PersonSubject, PersonTraces, Place, described
from retinue_cli.faces.service import FaceService
from retinue_cli.options.json_flag import say_beside
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_cli.data.archive.archive import Archive
    from retinue_cli.local.state import State


def forget_person(
    engine: Engine,
    subject: PersonSubject,
    also: Sequence[Place],
    state: "State | None",
    archive: "Archive | None",
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Erasure | None:
    """Print the traces of a person, ask, remove them, and print the result.

    Args:
        engine: The history, as its owner.
        subject: The person.
        also: Collections to search, in addition to those where the person is enrolled.
        state: The laptop's folder, if it contains the history.
        archive: The archive with months of the history.
        dry_run: Only print the traces.
        yes: Don't ask.
        as_json: Print on standard error.

    Returns:
        The erasure; ``None`` if it was a dry run.

    Raises:
        FacesError: The person is unknown, a collection can't be read or changed, or another program
            keeps recording the person.
        HistoryUnavailableError: The database is unavailable.
    """
    say = say_beside(as_json=as_json)
    erasures = Erasures(engine)
    forgetting = Forgetting(People(engine), erasures, cache(FaceService), archive)
    found = forgetting.find(subject, also)
    last = erasures.last(subject.kind, subject.key)
    unfinished = last is not None and last.completed_at is None
    if found.is_empty and not unfinished:
        if last is None:
            raise FacesError(
                f"{subject.key} is unknown: check the spelling (`retinue faces list COLLECTION`), "
                "or name another collection with --collection"
            )
        say(f"{subject.key} was forgotten on {last.completed_at}; nothing is left")
        return last
    pictures = {} if state is None else erasures.images(found.names)
    say(_plan(subject, found, len(pictures), unfinished=unfinished))
    if dry_run:
        say("nothing was removed: this was a dry run")
        return None
    if not yes:
        click.confirm("Remove all of it? This cannot be undone", abort=True, err=as_json)
    if state is not None and pictures:
        from retinue_cli.local.traces import remove_pictures

        with state.lock():
            removed = remove_pictures(state, pictures)
        say(f"removed from {state.directory}: {count(removed, 'picture')}")
    done = forgetting.forget(subject, found, also, say)
    if archive is not None:
        say_unreachable(archive, say)
    say(f"forgot {subject.key}: {described(done.removed) or 'nothing was left'}")
    say(f"erasure {done.erasure_id}: {json.dumps(dict(done.removed))}")
    return done


def _plan(subject: PersonSubject, found: PersonTraces, pictures: int, *, unfinished: bool) -> str:
    lines = [f"{subject.key}:"]
    if unfinished:
        lines.append("  (continues an interrupted erasure)")
    for (region, collection), face_ids in found.vectors.items():
        lines.append(f"  {collection} in {region}: {len(face_ids):,} face vectors")
    lines.append(
        f"  history: {found.detections:,} detections, parts of {found.runs:,} raw responses"
    )
    lines.append(f"  history: {found.enrolments:,} enrolments with their consent")
    if found.archived:
        lines.append(f"  archive: {found.archived.total():,} detections")
    if pictures:
        lines.append(f"  this machine: the drawn pictures of {count(pictures, 'image')}")
    return "\n".join(lines)
