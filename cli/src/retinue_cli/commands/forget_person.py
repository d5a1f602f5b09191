"""Forget a person: `retinue faces forget`, and `retinue forget --person`."""

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click
from retinue_history.privacy.erasure import Erasure, Erasures
from retinue_history.privacy.people import People
from retinue_workers.settings.settings import Settings
from sqlalchemy import Engine

from retinue_cli.commands.forget_images import erasure_as_json, laptop_of, say_unreachable
from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.forget import Forgetting, PersonSubject, PersonTraces, Place, described
from retinue_cli.faces.service import FaceService
from retinue_cli.options.archive import archive_to_erase
from retinue_cli.options.database import owner_engine
from retinue_cli.options.json_flag import Say, say_beside
from retinue_cli.options.region import region_of
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_cli.data.archive.archive import Archive
    from retinue_cli.local.state import State


def forget_person(
    settings: Settings,
    subject: PersonSubject,
    collections: Sequence[str],
    region: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Print the traces of a person, ask, remove them, and print the result.

    Args:
        settings: Where the history is.
        subject: The person.
        collections: Collections to search, in addition to those where the person is enrolled.
        region: The region of these; ``None`` for that of the AWS configuration.
        dry_run: Only print the traces.
        yes: Don't ask.
        as_json: Print the result as JSON, and the rest on standard error.

    Raises:
        FacesError: The person is unknown, a collection can't be read or changed, or another program
            keeps recording the person.
        HistoryUnavailableError: The database is unavailable.
    """
    say = say_beside(as_json=as_json)
    also = [(region_of(region), name) for name in collections]
    with (
        owner_engine(settings, "retinue forget") as engine,
        archive_to_erase(settings, engine) as archive,
    ):
        done = _forget(
            engine,
            subject,
            also,
            laptop_of(settings),
            archive,
            say,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
    if as_json:
        print_json(erasure_as_json(subject.key, done))


def _forget(
    engine: Engine,
    subject: PersonSubject,
    also: Sequence[Place],
    state: "State | None",
    archive: "Archive | None",
    say: Say,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Erasure | None:
    """Forget a person. Return the erasure; ``None`` if it was a dry run."""
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
