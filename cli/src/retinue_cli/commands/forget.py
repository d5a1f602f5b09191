"""``retinue forget``."""

import click
from retinue_workers.settings.settings import Settings

from retinue_cli.options.archive import archive_to_erase
from retinue_cli.options.database import owner_engine
from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.output.table import print_json


@click.command(short_help="Erase an image, a prefix, a person or a reviewer's login.")
@click.option(
    "--image",
    metavar="ID|URI|KEY",
    help="An image by its id, all versions of an object by s3://bucket/key, or by its key in "
    "any bucket.",
)
@click.option("--prefix", metavar="S3_URI", help="All objects under s3://bucket/prefix.")
@click.option("--person", metavar="NAME", help="A person, the same as `retinue faces forget`.")
@click.option(
    "--reviewer",
    metavar="LOGIN",
    help="A login of the console: its answers stay, under a random name.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="COLLECTION",
    help="With --person: search this face collection, too; repeatable.",
)
@click.option("--region", metavar="REGION", help="With --collection: its AWS region.")
@click.option(
    "--allow-again",
    is_flag=True,
    help="Allow forgotten images to be recorded again. Restores nothing.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan without removing anything.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@json_flag
def forget(
    *,
    image: str | None,
    prefix: str | None,
    person: str | None,
    reviewer: str | None,
    collections: tuple[str, ...],
    region: str | None,
    allow_again: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove an image, all images under a prefix, a person, or a reviewer's login from the history.

    Removes detections, also archived ones, runs with their raw responses, images, records of
    deleted images, and derived data. The result is verified and recorded without names. Images
    uploaded before now are never recorded again, not even by a replay or backfill. Images uploaded
    later are. Repeat the command after an interruption. With the history under .retinue, it also
    removes the images' pictures and log lines. Objects in S3, backups and other logs stay: see
    docs/keeping.md.
    """
    if sum(each is not None for each in (image, prefix, person, reviewer)) != 1:
        raise click.UsageError("pass exactly one of --image, --prefix, --person and --reviewer")
    if person is None and (collections or region):
        raise click.UsageError("--collection and --region need --person")
    settings = Settings.load()
    if reviewer is not None:
        if allow_again:
            raise click.UsageError("--allow-again needs --image or --prefix")
        _forget_reviewer(settings, reviewer, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    if person is not None:
        if allow_again:
            raise click.UsageError(
                "--allow-again doesn't apply to people. After new consent, "
                "use `retinue faces index`"
            )
        from retinue_cli.commands.forget_person import forget_person
        from retinue_cli.faces.forget import PersonSubject

        forget_person(
            settings,
            PersonSubject.person(person),
            collections,
            region,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        return
    from retinue_history.privacy.image_erasure import ImageSubject

    from retinue_cli.commands import forget_images

    try:
        # One of the two is given, as checked above.
        subject = ImageSubject.image(image or "") if prefix is None else ImageSubject.prefix(prefix)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with owner_engine(settings, "retinue forget") as engine:
        if allow_again:
            say = say_beside(as_json=as_json)
            was_forbidden = forget_images.allow_again(engine, subject, say)
            if as_json:
                print_json({"subject": subject.name, "was_forbidden": was_forbidden})
            return
        with archive_to_erase(settings, engine) as archive:
            done = forget_images.forget_images(
                engine,
                subject,
                forget_images.laptop_of(settings),
                archive,
                dry_run=dry_run,
                yes=yes,
                as_json=as_json,
            )
    if as_json:
        print_json(forget_images.erasure_as_json(subject.name, done))


def _forget_reviewer(
    settings: Settings, login: str, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Print the rows with a login, ask, and replace the login by a random name."""
    from retinue_history.privacy.reviewers import Reviewers

    from retinue_cli.output.words import count

    say = say_beside(as_json=as_json)
    with owner_engine(settings, "retinue forget") as engine:
        reviewers = Reviewers(engine)
        found = reviewers.traces(login)
        if not any(found.values()):
            raise click.ClickException(
                f"no answer, lease, queue or entry of the audit log has the login {login!r}"
            )
        say(
            f"{login}: {count(found['answers'], 'answer')}, "
            f"{count(found['review_queues'], 'queue')}, {count(found['review_leases'], 'lease')}, "
            f"{count(found['audit_log'], 'line')} of the audit log"
        )
        if dry_run:
            say("nothing was changed: this was a dry run")
            if as_json:
                print_json({"pseudonym": None, "changed": {}})
            return
        if not yes:
            click.confirm(
                "Replace the login by a random name? This cannot be undone", abort=True, err=as_json
            )
        done = reviewers.forget(login)
    say(f"the login is now {done.pseudonym} there. The leases were removed")
    say(
        "Withdraw the person's rights too (RETINUE_CONSOLE_LOGIN_RIGHTS), or later answers have "
        "the login again"
    )
    if as_json:
        print_json({"pseudonym": done.pseudonym, "changed": dict(done.changed)})
