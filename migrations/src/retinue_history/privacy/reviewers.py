"""Forget a reviewer: the answers stay, under a random name."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from retinue_history.db.engine import map_engine_errors
from retinue_history.privacy.planner_stats import refresh_stats

PREFIX = "former-"
"""Beginning of the names of forgotten reviewers."""


@dataclass(frozen=True, slots=True)
class ForgottenReviewer:
    """The result of forgetting a login.

    Attributes:
        pseudonym: The name that replaces it; the same in all tables.
        changed: Number of rows that had the login, by table. Leases are removed.
    """

    pseudonym: str
    changed: Mapping[str, int]


class Reviewers:
    """The logins of people who review.

    Args:
        engine: The history, as its owner.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def traces(self, login: str) -> dict[str, int]:
        """Return the number of rows with a login, by table."""
        with map_engine_errors(), self._engine.connect() as connection:
            row = connection.execute(_TRACES, {"login": login}).mappings().one()
            return dict(row)

    def forget(self, login: str) -> ForgottenReviewer:
        """Replace a login by a random name everywhere, in one transaction.

        Rows of one person keep one name, so that agreement and settling stay as they are.
        """
        pseudonym = f"{PREFIX}{secrets.token_hex(4)}"
        names: dict[str, Any] = {"login": login, "pseudonym": pseudonym}
        with map_engine_errors(), self._engine.begin() as connection:
            changed = {
                table: connection.execute(statement, names).rowcount
                for table, statement in _CHANGES.items()
            }
            connection.execute(_NOTE, names)
            refresh_stats(connection, _CHANGES)  # the planner's samples have values too
        return ForgottenReviewer(pseudonym, changed)


_TRACES = text("""
    SELECT
        (SELECT count(*) FROM review_queues WHERE created_by = :login) AS review_queues,
        (SELECT count(*) FROM review_leases WHERE person = :login) AS review_leases,
        (SELECT count(*) FROM answers WHERE person = :login) AS answers,
        (SELECT count(*) FROM audit_log WHERE person = :login) AS audit_log
""")

# The digest of an answer is made from the login too, so it could confirm a guess.
_CHANGES = {
    "review_queues": text(
        "UPDATE review_queues SET created_by = :pseudonym WHERE created_by = :login"
    ),
    "review_leases": text("DELETE FROM review_leases WHERE person = :login"),
    "answers": text(
        "UPDATE answers SET person = :pseudonym, "
        "digest = sha256(convert_to(gen_random_uuid()::text, 'UTF8')) WHERE person = :login"
    ),
    "audit_log": text("UPDATE audit_log SET person = :pseudonym WHERE person = :login"),
}

_NOTE = text("""
    INSERT INTO audit_log (person, act, detail) VALUES (:pseudonym, 'reviewer_forgotten', '{}')
""")
