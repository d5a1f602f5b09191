"""Explain why a query was refused, and suggest a fix."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

import psycopg

_READING = ("SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW")
_SPACE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*"
_FIRST_WORD = re.compile(rf"{_SPACE}([a-z]+)", re.IGNORECASE | re.DOTALL)
_QUOTED_COLUMN = re.compile(r'(?:\w+\.)?"((?:[^"]|"")+)"')
_COMPARED = re.compile(r"(?:[=<>~]|\b(?:i?like|in\s*\())\s*\Z", re.IGNORECASE)

ONLY_READ = "a query can only read: begin with SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW"


def first_word(sql: str) -> str:
    """Return the keyword that a statement begins with, in capitals; empty if there is none."""
    found = _FIRST_WORD.match(sql)
    return "" if found is None else found[1].upper()


def explain(
    error: psycopg.Error, sql: str, timeout_seconds: float, relations: Sequence[str]
) -> str:
    """Return why a query was refused, where, and a hint.

    Args:
        error: The server's refusal.
        sql: The query.
        timeout_seconds: Its time limit.
        relations: Candidates for a relation that doesn't exist.
    """
    said = error.diag
    primary = said.message_primary or str(error)
    is_syntax = isinstance(error, psycopg.errors.SyntaxError)
    if is_syntax and sql.lstrip().startswith("\\"):
        return (
            f"{sql.split()[0]} is a command of psql, not SQL: `retinue schema` lists the views and "
            "their columns, and `retinue psql` opens psql"
        )
    if is_syntax and "multiple commands" in primary:
        return "a query must be a single statement: remove the text after the semicolon"
    if isinstance(error, psycopg.errors.QueryCanceled) and "statement timeout" in primary:
        return (
            f"the query was stopped after {timeout_seconds:g} s, the longest it may take: "
            "ask for less, or allow more with --timeout-seconds"
        )
    if not is_syntax and (word := first_word(sql)) not in _READING:
        return f"{ONLY_READ}, not with {word or 'this'}"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return "a query can only read, and this one would write"
    return "\n".join([primary, *_place(error, sql), *_hints(error, sql, relations)])


def _place(error: psycopg.Error, sql: str) -> list[str]:
    """Return the line of the error, with a caret below."""
    position = error.diag.statement_position
    if not position:
        return []
    before = sql[: int(position) - 1]
    line = sql.splitlines()[before.count("\n")] if sql else ""
    column = len(before) - (before.rfind("\n") + 1)
    prefix = f"  line {before.count(chr(10)) + 1}: "
    return [prefix + line, " " * (len(prefix) + column) + "^"]


def _hints(error: psycopg.Error, sql: str, relations: Sequence[str]) -> list[str]:
    said = error.diag
    lines = [f"Detail: {said.message_detail}"] if said.message_detail else []
    hint = said.message_hint
    if isinstance(error, psycopg.errors.UndefinedColumn) and said.statement_position:
        place = int(said.statement_position) - 1
        if quoted := _QUOTED_COLUMN.match(sql, place):
            text = quoted[1].replace('""', '"').replace("'", "''")
            return [*lines, f"Hint: Double quotes name a column. Write a text as '{text}'."]
        word = re.compile(r"\w+(?![\w.])").match(sql, place)
        if word and _COMPARED.search(sql, 0, place):
            hint = " ".join(filter(None, [hint, f"Write a text as '{word[0]}'."]))
    if isinstance(error, psycopg.errors.UndefinedTable):
        found = re.search(r'"(.*)"', said.message_primary or "")
        near = get_close_matches(found[1], relations, n=1) if found else []
        meant = f"Did you mean {near[0]}? " if near else ""
        return [*lines, f"Hint: {meant}`retinue schema` lists the views."]
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return [*lines, "Hint: `retinue schema` lists the views, which a query may read."]
    return [*lines, f"Hint: {hint}"] if hint else lines
