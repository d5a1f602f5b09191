"""Declare every table, with its columns, constraints, indexes and comments, in SQLAlchemy."""

from retinue_history.schema.tables.base import metadata

# Imported for their tables, in the order in which these are created.
# isort: off
import retinue_history.schema.tables.recording
import retinue_history.schema.tables.videos
import retinue_history.schema.tables.labels
import retinue_history.schema.tables.people
import retinue_history.schema.tables.quotas
import retinue_history.schema.tables.hosted_models
import retinue_history.schema.tables.review
import retinue_history.schema.tables.archiving  # noqa: F401
# isort: on

__all__ = ["metadata"]
