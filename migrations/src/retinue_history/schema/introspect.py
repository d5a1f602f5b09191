"""Read the schema from a database's catalog: relations, columns, comments, functions."""

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """A column of a table or view: name, SQL type, whether it can be null, comment."""

    name: str
    type: str
    nullable: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view with its columns.

    Attributes:
        name: The relation's name.
        is_view: Whether it is a view.
        comment: Its comment, if it has one.
        columns: Its columns, in order.
        constraints: Definitions of its constraints, as Postgres writes them.
        indexes: Definitions of its indexes other than those of constraints.
        references: Tables that its foreign keys refer to, with the constraint's columns.
    """

    name: str
    is_view: bool
    comment: str | None
    columns: tuple[ColumnDescription, ...]
    constraints: tuple[str, ...]
    indexes: tuple[str, ...]
    references: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FunctionDescription:
    """A function: its signature with the result type, and its comment."""

    signature: str
    comment: str | None


_RELATIONS = text("""
    SELECT c.oid, c.relname, c.relkind = 'v', obj_description(c.oid, 'pg_class')
    FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')
        AND NOT c.relispartition
    ORDER BY c.oid
""")

_COLUMNS = text("""
    SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull,
        col_description(attrelid, attnum)
    FROM pg_attribute
    WHERE attrelid = CAST(:oid AS oid) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
""")

# Since version 18, NOT NULL is a constraint too; the column already shows it.
_CONSTRAINTS = text(r"""
    SELECT regexp_replace(pg_get_constraintdef(oid, true), '\s+', ' ', 'g')
    FROM pg_constraint
    WHERE conrelid = CAST(:oid AS oid) AND contype IN ('p', 'u', 'f', 'c')
    ORDER BY position(contype::text IN 'pufc'), conname
""")

_INDEXES = text("""
    SELECT pg_get_indexdef(indexrelid)
    FROM pg_index
    WHERE indrelid = CAST(:oid AS oid)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
    ORDER BY indexrelid::regclass::text
""")

_REFERENCES = text("""
    SELECT target.relname, string_agg(attname, ', ' ORDER BY attnum)
    FROM pg_constraint
    JOIN pg_class AS target ON target.oid = confrelid
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
    WHERE conrelid = CAST(:oid AS oid) AND contype = 'f'
    GROUP BY conname, target.relname
    ORDER BY conname
""")

_FUNCTIONS = text("""
    SELECT
        format(
            '%s(%s) returns %s', proname, pg_get_function_arguments(oid),
            pg_get_function_result(oid)
        ),
        obj_description(oid, 'pg_proc')
    FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e'  -- an extension's
        )
    ORDER BY proname, oid
""")


def relations(connection: Connection) -> list[Relation]:
    """Return the tables and views of the current schema, in the order of their creation."""
    rows = connection.execute(_RELATIONS).all()
    return [_relation(connection, *row) for row in rows]


def functions(connection: Connection) -> list[FunctionDescription]:
    """Return the functions of the current schema, by name."""
    return [FunctionDescription(*row) for row in connection.execute(_FUNCTIONS)]


def _relation(
    connection: Connection, oid: int, name: str, is_view: bool, comment: str | None
) -> Relation:
    its = {"oid": oid}
    return Relation(
        name=name,
        is_view=is_view,
        comment=comment,
        columns=tuple(ColumnDescription(*row) for row in connection.execute(_COLUMNS, its)),
        constraints=tuple(connection.scalars(_CONSTRAINTS, its)),
        indexes=tuple(connection.scalars(_INDEXES, its)),
        references=tuple(
            (target, through) for target, through in connection.execute(_REFERENCES, its)
        ),
    )
