"""Forget a person: `retinue faces forget`, and `retinue forget --person`."""

import json
from collections.abc import Sequence
from functools import cache

import click
from retinue_history.privacy.erasure import Erasures
from retinue_history.privacy.people import People
from sqlalchemy import Engine

from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.forget import Forgetting, PersonSubject, PersonTraces, Place, described
from retinue_cli.faces.service import FaceService


def forget_person(
    engine: Engine, subject: PersonSubject, also: Sequence[Place], *, dry_run: bool, yes: bool
) -> None:
    """Print the traces of a person, ask, remove them, and print the result.

    Args:
        engine: The history, as its owner.
        subject: The person.
        also: Collections to search, in addition to those where the person is enrolled.
        dry_run: Only print the traces.
        yes: Don't ask.

    Raises:
        FacesError: The person is unknown, a collection can't be read or changed, or another program
            keeps recording the person.
        HistoryUnavailableError: The database is unavailable.
    """
    erasures = Erasures(engine)
    forgetting = Forgetting(People(engine), erasures, cache(FaceService))
    found = forgetting.find(subject, also)
    last = erasures.last(subject.kind, subject.key)
    unfinished = last is not None and last.completed_at is None
    if found.is_empty and not unfinished:
        if last is None:
            raise FacesError(
                f"nobody is known as {subject.key}: check the spelling (`retinue faces list "
                "COLLECTION`), and name with --collection where else to look"
            )
        click.echo(f"{subject.key} was forgotten on {last.completed_at}; nothing is left")
        return
    click.echo(_plan(subject, found, unfinished=unfinished))
    if dry_run:
        click.echo("nothing was removed: this was a dry run")
        return
    if not yes:
        click.confirm("Remove all of it? This cannot be undone", abort=True)
    done = forgetting.forget(subject, found, also, click.echo)
    click.echo(f"forgot {subject.key}: {described(done.removed) or 'nothing was left'}")
    click.echo(f"erasure {done.erasure_id}: {json.dumps(dict(done.removed))}")


def _plan(subject: PersonSubject, found: PersonTraces, *, unfinished: bool) -> str:
    lines = [f"{subject.key}:"]
    if unfinished:
        lines.append("  (an erasure was begun and interrupted; this goes on with it)")
    for (region, collection), face_ids in found.vectors.items():
        lines.append(f"  {collection} in {region}: {len(face_ids):,} face vectors")
    lines.append(
        f"  history: {found.detections:,} detections, parts of {found.runs:,} raw responses"
    )
    lines.append(f"  history: {found.enrolments:,} enrolments with their consent")
    return "\n".join(lines)
