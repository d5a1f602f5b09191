"""What revisions are made of: steps that lock nobody out for long, and may be done again.

A lock that cannot be had at once is given up and tried for again, since everybody else queues
behind whoever waits for one. Each step is a transaction of its own, or none where Postgres wants it
so; a revision opens ``op.get_context().autocommit_block()`` around its steps.
"""

import time
from pathlib import Path

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

LOCK_TIMEOUT = "1s"
"""Longest that others may have to queue behind a step that waits for a lock."""

_TRIES = 300
_LOCK_NOT_AVAILABLE = "55P03"
_REVISIONS = Path(__file__).parent / "revisions"


def sql(revision: str, part: str) -> str:
    """The text of a file beside a revision, such as ``r0002_tables.sql``."""
    return (_REVISIONS / f"r{revision}_{part}.sql").read_text(encoding="utf-8")


def step(revision: str, *parts: str) -> None:
    """Run files as one transaction: Postgres takes several statements sent at once for one."""
    patiently("\n".join(sql(revision, part) for part in parts))


def patiently(statements: str) -> None:
    """Run statements as one transaction, again and again while a lock cannot be had in time.

    Raises:
        OperationalError: It could not be had in all of five minutes or more.
    """
    for attempt in range(_TRIES):
        try:
            op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{statements}")
        except OperationalError as error:
            waited_too_long = getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
            if not waited_too_long or attempt == _TRIES - 1:
                raise
            time.sleep(0.5)
        else:
            return


def exists(relation: str) -> bool:
    """Whether there is a table, view or index of that name."""
    return bool(
        op.get_bind().scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": relation})
    )


def build(name: str, what: str, on: str) -> None:
    """Create an index while writers go on; one that an interruption left half built is dropped.

    Args:
        name: What it is called.
        what: ``INDEX`` or ``UNIQUE INDEX``.
        on: The table, and what follows it.
    """
    invalid = text(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) "
        "AND NOT indisvalid)"
    )
    if op.get_bind().scalar(invalid, {"name": name}):
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    op.execute(f"CREATE {what} CONCURRENTLY IF NOT EXISTS {name} ON {on}")


def build_on_partitions(name: str, table: str, what: str) -> None:
    """Create an index of a partitioned table while writers go on.

    Postgres builds none ``CONCURRENTLY`` on such a table. So the table's own is made without its
    partitions, which takes a moment; theirs are built one by one, and attached to it. It is valid
    with the last of them. A partition that is made meanwhile gets its index at once.

    Args:
        name: What it is called.
        table: The partitioned table.
        what: What follows the table's name: method, columns, condition.
    """
    if not exists(name):
        patiently(f"CREATE INDEX {name} ON ONLY {table} {what}")
    without = text("""
        SELECT child.relname
        FROM pg_inherits AS partition
        JOIN pg_class AS child ON child.oid = partition.inhrelid
        WHERE partition.inhparent = to_regclass(:table)
            AND NOT EXISTS (
                SELECT FROM pg_inherits AS attached
                JOIN pg_index ON pg_index.indexrelid = attached.inhrelid
                WHERE attached.inhparent = to_regclass(:name) AND pg_index.indrelid = child.oid
            )
        ORDER BY child.relname
    """)
    for partition in list(op.get_bind().scalars(without, {"table": table, "name": name})):
        part = f"{name}_of{partition.removeprefix(table)}"
        build(part, "INDEX", f"{partition} {what}")
        patiently(f"ALTER INDEX {name} ATTACH PARTITION {part}")
