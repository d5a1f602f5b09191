"""Retinue's detection history: tables, views, migrations, reads and writes.

Everything public is here: ``History`` for workers, ``run_query`` for analysts, ``upgrade`` and
``check_schema`` for whoever deploys. The views are the public interface in SQL; docs/schema.md.
"""

from retinue_history.activity import Activity, ActivityReader
from retinue_history.engine import create_history_engine
from retinue_history.errors import (
    HistoryDataError,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailableError,
    QueryError,
)
from retinue_history.failures import (
    Cause,
    Failures,
    ReplayImage,
    failed_images,
    failure_causes,
    known_images,
    missing_images,
)
from retinue_history.history import History
from retinue_history.migrate import (
    check_schema,
    current_revision,
    downgrade,
    head_revision,
    upgrade,
)
from retinue_history.query import QueryResult, run_query
from retinue_history.records import (
    JSON,
    MAX_LABEL_BYTES,
    REPLAY,
    Box,
    DetectionRecord,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
)

__all__ = [
    "JSON",
    "MAX_LABEL_BYTES",
    "REPLAY",
    "Activity",
    "ActivityReader",
    "Box",
    "Cause",
    "DetectionRecord",
    "Failures",
    "History",
    "HistoryDataError",
    "HistoryError",
    "HistorySchemaError",
    "HistoryUnavailableError",
    "ImageRecord",
    "QueryError",
    "QueryResult",
    "RemovedObject",
    "ReplayImage",
    "RunKey",
    "RunRecord",
    "check_schema",
    "create_history_engine",
    "current_revision",
    "downgrade",
    "failed_images",
    "failure_causes",
    "head_revision",
    "known_images",
    "missing_images",
    "run_query",
    "upgrade",
]
