"""Alembic's environment: run revisions on the connection that ``migrate.py`` passes.

Developers reach it through ``migrations/alembic.ini`` as well::

    alembic -c migrations/alembic.ini -x url=postgresql://… check
"""

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.sql.schema import SchemaItem

from retinue_history.db.engine import create_history_engine
from retinue_history.schema.tables import metadata


def _is_declared_here(
    item: SchemaItem, name: str | None, type_: str, reflected: bool, compare_to: SchemaItem | None
) -> bool:
    """Leave out partitions, which ``retinue maintain`` creates and drops."""
    del item, compare_to
    is_partition = (name or "").startswith("detections_")
    return not (type_ == "table" and reflected and is_partition)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        include_object=_is_declared_here,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _main() -> None:
    if context.is_offline_mode():
        raise SystemExit("Retinue's revisions query the database and cannot run with --sql")
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise SystemExit("give the database: alembic -x url=postgresql://user@host/database …")
    engine = create_history_engine(url, application_name="alembic")
    with engine.connect() as connection:
        _run(connection)
    engine.dispose()


_main()
