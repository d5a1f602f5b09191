"""Refresh the planner's statistics, which contain values of deleted rows (``pg_stats``)."""

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, text

from retinue_history.db.engine import map_engine_errors

HISTORY = (
    "images", "videos", "jobs", "removals", "runs", "detections", "labels", "label_parents",
    "label_counts",
    "truths", "truth_items", "answers", "answer_items", "review_queues", "review_images",
    "review_leases", "audit_log",
)  # fmt: skip
PEOPLE = ("people", "faces")

_SAMPLED = text("""
    SELECT DISTINCT sampled.oid::regclass::text, stats.tablename
    FROM pg_stats AS stats
    JOIN pg_class AS relation ON relation.relname = stats.tablename
        AND relation.relnamespace = stats.schemaname::regnamespace
    LEFT JOIN pg_index AS indexed ON indexed.indexrelid = relation.oid
    JOIN pg_class AS sampled ON sampled.oid = coalesce(indexed.indrelid, relation.oid)
    WHERE stats.schemaname = current_schema()
""")

_CLEAR = text("""
    SELECT pg_clear_attribute_stats(schemaname, tablename, attname, inherited)
    FROM pg_stats
    WHERE schemaname = current_schema() AND tablename = :relation
""")

_CLEARS_SINCE = (18,)


def refresh_stats(connection: Connection, tables: Iterable[str]) -> None:
    """Refresh the statistics of tables, so that they contain no value of a deleted row.

    ANALYZE leaves the statistics of an empty table unchanged. PostgreSQL 18 and later can clear
    them. Before, they stay until the table has rows again.

    Args:
        connection: Of the tables' owner. Rows that its transaction has deleted don't count.
        tables: The tables' names.
    """
    for table in tables:
        connection.execute(text(f"ANALYZE {table}"))
    if (connection.dialect.server_version_info or ()) < _CLEARS_SINCE:
        return
    for table, relation in connection.execute(_SAMPLED).all():
        if not connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})")):  # noqa: S608 - ours
            connection.execute(_CLEAR, {"relation": relation})


def refresh_history_stats(engine: Engine) -> None:
    """Refresh the statistics of all detection tables, one table per transaction.

    Args:
        engine: The database, as the tables' owner.

    Raises:
        HistoryUnavailableError: The database can't answer.
    """
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with map_engine_errors(), autocommit.connect() as connection:
        refresh_stats(connection, HISTORY)
