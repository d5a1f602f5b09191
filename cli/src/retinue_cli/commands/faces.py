"""``retinue faces``."""

import sys
from collections.abc import Callable
from dataclasses import asdict

import click
from retinue_history.privacy.people import People
from retinue_workers.settings.settings import Settings

from retinue_cli.commands.forget_person import forget_person
from retinue_cli.faces import enrol as enrolling
from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.external_id import name_of
from retinue_cli.faces.forget import PersonSubject
from retinue_cli.faces.photo import load
from retinue_cli.faces.service import FaceService
from retinue_cli.options.database import owner_engine
from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.options.region import region_of
from retinue_cli.output.table import print_json
from retinue_cli.output.words import count

region_option = click.option(
    "--region", metavar="REGION", help="AWS region.  [default: from the AWS configuration]"
)
yes_option = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")


@click.group(short_help="Manage face collections and the people in them.")
def faces() -> None:
    """Manage face collections of Amazon Rekognition, and the people in them.

    Face vectors are biometric data: read docs/faces.md first. AWS's standard configuration applies
    (AWS_PROFILE, AWS_REGION); AWS_ENDPOINT_URL_REKOGNITION names another endpoint. Needs the
    history's owner, as `retinue migrate` does: workers and analysts may not see people's names.
    """


@faces.command()
@click.argument("collection")
@region_option
@json_flag
def create(*, collection: str, region: str | None, as_json: bool) -> None:
    """Create an empty collection."""
    service = FaceService(region_of(region))
    version = service.create(collection)
    if as_json:
        print_json(
            {"collection": collection, "region": service.region, "face_model_version": version}
        )
        return
    click.echo(f"created the collection {collection} in {service.region}, face model {version}")


@faces.command("list")
@click.argument("collection", required=False)
@region_option
@json_flag
def list_(*, collection: str | None, region: str | None, as_json: bool) -> None:
    """List the collections, or the people in one."""
    service = FaceService(region_of(region))
    if collection is None:
        counts = {name: service.face_count(name) for name in service.collections()}
        if as_json:
            print_json([{"collection": name, "faces": number} for name, number in counts.items()])
            return
        for name, number in counts.items():
            click.echo(f"{name}  {count(number, 'face')}")
        if not counts:
            click.echo(
                f"there is no collection in {service.region}; create one with `retinue "
                "faces create`"
            )
        return
    stored: dict[str | None, int] = {}
    for face in service.faces(collection):
        stored[face.external_image_id] = stored.get(face.external_image_id, 0) + 1
    with owner_engine(Settings.load(), "retinue faces") as engine:
        known = {
            one.external_image_id: one
            for one, _ in People(engine).of_collection(service.region, collection)
        }
    if as_json:
        print_json(
            [
                {
                    "person": known[external_id].name if external_id in known else None,
                    "faces": stored.get(external_id, 0),
                    "external_image_id": external_id,
                    "consent": known[external_id].consent if external_id in known else None,
                }
                for external_id in [*known, *(other for other in stored if other not in known)]
            ]
        )
        return
    for external_id, person in known.items():
        faces = count(stored.pop(external_id, 0), "face")
        click.echo(f"{person.name}  {faces}  {external_id}  consent: {person.consent}")
    for other, number in sorted(stored.items(), key=lambda item: str(item[0])):
        faces = count(number, "face")
        click.echo(f"(not enrolled here)  {faces}  {other or 'no external image id'}")
    if not known and not stored:
        click.echo(f"{collection} has no people")


@faces.command()
@click.argument("collection")
@click.argument("person")
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO…")
@click.option(
    "--consent",
    required=True,
    metavar="REFERENCE",
    help="Legal basis for keeping this person's face: a form's number, a contract, a ticket.",
)
@click.option(
    "--face",
    "number",
    type=click.IntRange(min=1),
    help="Number of the face, counted from the left, if a photo has several.",
)
@region_option
@json_flag
def index(
    *,
    collection: str,
    person: str,
    photos: tuple[str, ...],
    consent: str,
    number: int | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Store a person's face from photos in a collection.

    A photo is a file or s3://bucket/key. One face of each is stored under the person's name, with
    the consent.
    """
    say = say_beside(as_json=as_json)
    service = FaceService(region_of(region))
    enrolling.checked_consent(consent)
    # Check all photos first, so that a refusal stores nothing.
    chosen = [enrolling.choose(service, load(place), number) for place in photos]
    with owner_engine(Settings.load(), "retinue faces") as engine:
        stored = enrolling.enrol(service, People(engine), collection, person, consent, chosen, say)
    say(f"{person}: {stored} of {len(photos)} photos are in {collection}")
    if as_json:
        print_json(
            {
                "person": person,
                "collection": collection,
                "region": service.region,
                "photos": len(photos),
                "stored": stored,
            }
        )
    if stored < len(photos):
        sys.exit(1)


@faces.command()
@click.argument("collection")
@click.argument("photo")
@click.option(
    "--min-similarity",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Minimum similarity, 0 to 1.",
)
@region_option
@json_flag
def search(
    *, collection: str, photo: str, min_similarity: float, region: str | None, as_json: bool
) -> None:
    """Find the people in a photo. Nothing is stored."""
    service = FaceService(region_of(region))
    loaded = load(photo)
    boxes = service.detect(loaded.data)
    if not boxes:
        service.face_count(collection)  # does the collection exist?
        if not as_json:
            click.echo(f"there is no face in {loaded.name}")
    found = []
    for position, box in enumerate(boxes, start=1):
        data = loaded.data if len(boxes) == 1 else enrolling.cut_out(loaded, box, boxes)[0]
        matches = service.search(collection, data, min_similarity)
        if not matches and not as_json:
            click.echo(f"face {position}: no match")
        for match in matches:
            external_id = match.face.external_image_id or ""
            name = name_of(external_id) or external_id or "(no external image id)"
            if not as_json:
                click.echo(f"face {position}: {name}  {match.similarity:.3f}  {match.face.face_id}")
        found.append({"box": asdict(box), "matches": [asdict(match) for match in matches]})
    if as_json:
        print_json(found)


@faces.command()
@click.argument("person", required=False)
@click.option(
    "--external-image-id", metavar="ID", help="Forget an id of your own instead of PERSON."
)
@click.option("--face-id", metavar="ID", help="Forget one face vector instead of PERSON.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="COLLECTION",
    help="Search this collection, too, even if the person wasn't enrolled there with this "
    "history; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan without removing anything.")
@yes_option
@region_option
@json_flag
def forget(
    *,
    person: str | None,
    external_image_id: str | None,
    face_id: str | None,
    collections: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    region: str | None,
    as_json: bool,
) -> None:
    """Remove a person from all collections and from the history.

    Removes face vectors, detections and parts of raw responses that name the person, and the
    person's own rows. Repeat it after an interruption. It doesn't remove photos, backups or logs:
    see docs/faces.md. `retinue forget --person` does the same, and
    `retinue forget --image` and `--prefix` forget images.
    """
    forget_person(
        Settings.load(),
        _subject(person, external_image_id, face_id),
        collections,
        region,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


@faces.command()
@click.argument("collection")
@click.option("--with-people", is_flag=True, help="Delete it even if it has people.")
@yes_option
@region_option
@json_flag
def delete(
    *, collection: str, with_people: bool, yes: bool, region: str | None, as_json: bool
) -> None:
    """Delete a collection. Detections in the history stay; `forget` removes a person's."""
    service = FaceService(region_of(region))
    with owner_engine(Settings.load(), "retinue faces") as engine:
        people = People(engine)
        enrolled = people.of_collection(service.region, collection)
        stored = service.face_count(collection)
        faces = count(stored, "face")
        if (enrolled or stored) and not with_people:
            raise FacesError(
                f"{len(enrolled)} people and {faces} are in {collection}. Forget each with "
                "`retinue faces forget`, which also removes detections, or pass --with-people"
            )
        if not yes:
            click.confirm(f"Delete {collection} with {faces} permanently?", abort=True, err=as_json)
        service.delete(collection)
        gone = people.drop_collection(service.region, collection)
    if as_json:
        print_json({"collection": collection, "faces": stored, "enrolments": gone})
        return
    click.echo(f"deleted {collection} with {faces} and {count(gone, 'enrolment')}")


def _subject(
    person: str | None, external_image_id: str | None, face_id: str | None
) -> PersonSubject:
    ways: list[tuple[str | None, Callable[[str], PersonSubject]]] = [
        (person, PersonSubject.person),
        (external_image_id, PersonSubject.external_image),
        (face_id, PersonSubject.face),
    ]
    given = [make(name) for name, make in ways if name is not None]
    if len(given) != 1:
        raise click.UsageError("name the person: PERSON, --external-image-id or --face-id")
    return given[0]
