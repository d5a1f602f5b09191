"""The schema is as declared, is documented, and computes image ids as Python does."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from alembic import command
from generators.schema_page import schema_page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history.schema.introspect import functions, relations
from retinue_history.schema.migrate import alembic_config, upgrade
from retinue_history.schema.version import current_revision, head_revision
from sqlalchemy import Engine, text

ROOT = Path(__file__).parents[2]
same_database = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
postgres_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.fixture(params=["embedded", "15"])
def any_empty_database(request: pytest.FixtureRequest) -> str:
    """Return an empty database, on the newest and on the oldest Postgres that we support."""
    name = "empty_database_url" if request.param == "embedded" else "empty_postgres_15_url"
    return str(request.getfixturevalue(name))


def test_migrating_twice_changes_nothing(any_empty_database: str) -> None:
    assert current_revision(any_empty_database) is None
    upgrade(any_empty_database)
    upgrade(any_empty_database)
    assert current_revision(any_empty_database) == head_revision()


def test_tables_in_python_are_those_in_the_database(engine: Engine) -> None:
    config = alembic_config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def test_everything_has_a_comment(engine: Engine) -> None:
    with engine.connect() as connection:
        found, known_functions = relations(connection), functions(connection)
    silent = [r.name for r in found if not r.comment]
    silent += [f"{r.name}.{c.name}" for r in found for c in r.columns if not c.comment]
    silent += [f.signature for f in known_functions if not f.comment]
    assert silent == []
    assert {r.name for r in found if r.is_view} == {
        "detection_history",
        "latest_detections",
        "latest_runs",
        "newest_runs",
        "image_labels",
        "label_counts_daily",
        "failed_runs",
        "run_costs",
        "model_costs",
        "skipped_runs",
        "detector_versions",
        "detector_agreement",
        "drift",
        "ground_truth",
        "standing_answers",
        "video_timeline",
        "open_jobs",
    }


def test_the_schema_page_is_current(history_url: str) -> None:
    page = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    assert page == schema_page(history_url), (
        "print it anew: python -m generators.schema_page URL > docs/schema.md"
    )


@same_database
@given(bucket=postgres_text, key=postgres_text, version=postgres_text)
def test_image_id_is_its_python_twin(
    engine: Engine,
    image_id: Callable[[str, str, str], UUID],
    bucket: str,
    key: str,
    version: str,
) -> None:
    with engine.connect() as connection:
        computed = connection.scalar(
            text("SELECT image_id(:b, :k, :v)"), {"b": bucket, "k": key, "v": version}
        )
    assert computed == image_id(bucket, key, version)
    assert computed.version == 8
    assert computed.variant == "specified in RFC 4122"


hexadecimal = st.text("0123456789ABCDEF", min_size=1, max_size=20)


@same_database
@given(a=hexadecimal, b=hexadecimal)
def test_sequencers_compare_as_right_padded_hexadecimal(engine: Engine, a: str, b: str) -> None:
    width = max(len(a), len(b))
    with engine.connect() as connection:
        later = connection.scalar(
            text("SELECT sequencer_rank(:a) > sequencer_rank(:b)"), {"a": a.lower(), "b": b}
        )
    assert later == (int(a.ljust(width, "0"), 16) > int(b.ljust(width, "0"), 16))


def test_a_database_refuses_an_id_that_is_not_the_images(history_url: str) -> None:
    with (
        psycopg.connect(history_url) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="ck_images_image_id"),
    ):
        connection.execute(
            "INSERT INTO images (image_id, bucket, key, version, versioned, uploaded_at,"
            " last_uploaded_at) VALUES (gen_random_uuid(), 'b', 'k', 'v', true, now(), now())"
        )
