"""Change the schema while workers write: the steps that later revisions are made of.

A lock that isn't free within a second is given up and requested again, because every other session
queues behind one that waits for a lock. Each step is a transaction of its own, or none where
Postgres requires that, and can be repeated. A revision runs its steps inside
``op.get_context().autocommit_block()``.
"""

from alembic import op
from sqlalchemy import text

from retinue_history.db.lock_retry import LOCK_TIMEOUT, retry_on_lock_timeout

_TRIES = 300


def with_lock_retry(statements: str) -> None:
    """Run statements as one transaction, and again while a lock isn't free in time.

    Raises:
        OperationalError: A lock wasn't free in all of five minutes.
    """
    # Postgres runs several statements in one message as one transaction.
    transaction = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{statements}"
    retry_on_lock_timeout(lambda: op.execute(transaction), tries=_TRIES)


def create_index(name: str, on: str, *, unique: bool = False) -> None:
    """Create an index while writers continue. Replace one that an interruption left invalid.

    Args:
        name: The index's name.
        on: The table and what follows it: method, columns, condition.
        unique: Whether it's a unique index.
    """
    invalid = text(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) "
        "AND NOT indisvalid)"
    )
    if op.get_bind().scalar(invalid, {"name": name}):
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    kind = "UNIQUE INDEX" if unique else "INDEX"
    op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {on}")


def create_index_on_partitions(name: str, table: str, definition: str) -> None:
    """Create an index of a partitioned table while writers continue.

    Postgres can't do that ``CONCURRENTLY`` for the whole table. So the table's own index is created
    without its partitions, which takes a moment. Then each partition's index is built and attached.
    The table's index becomes valid with the last one. A partition that is added meanwhile gets its
    index immediately.

    Args:
        name: The index's name.
        table: The partitioned table.
        definition: The text after the table's name: method, columns, condition.
    """
    with_lock_retry(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {definition}")
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
        create_index(part, f"{partition} {definition}")
        with_lock_retry(f"ALTER INDEX {name} ATTACH PARTITION {part}")
