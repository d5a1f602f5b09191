"""Retinue's detection history: tables, views, migrations, reads and writes.

Everything public is here: ``History`` for workers, ``run_query`` for analysts, ``upgrade`` and
``check_schema`` for whoever deploys. The views are the public interface in SQL; docs/schema.md.
"""

from retinue_history.activity import Activity, ActivityReader
from retinue_history.comparison import (
    DEFAULT_IOU,
    Difference,
    Overlap,
    Side,
    compare,
    comparison_sql,
    overlap,
)
from retinue_history.engine import create_history_engine
from retinue_history.erasure import Erasure, Erasures, Names
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
    missing_images,
)
from retinue_history.ground_truth import (
    KnownImage,
    images_by_id,
    images_by_name,
    record_annotations,
)
from retinue_history.history import History
from retinue_history.image_erasure import ImageErasures, ImageSubject, ImageTraces
from retinue_history.known_images import KnownImages
from retinue_history.logins import create_iam_logins
from retinue_history.maintenance import Retention, maintain
from retinue_history.migrate import downgrade, upgrade
from retinue_history.models import KeptModel, ModelLedger, ModelSession
from retinue_history.pacing import QuotaLease, QuotaState, Renewal
from retinue_history.people import Enrolment, IndexedFace, People, PersonBeingForgottenError
from retinue_history.query import QueryResult, check_reader, run_query
from retinue_history.reading import Snapshot, snapshot
from retinue_history.records import (
    JSON,
    MAX_LABEL_BYTES,
    REPLAY,
    AttemptKey,
    Box,
    Charge,
    ConfigurationRecord,
    DetectionRecord,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    Seen,
    skip_event_id,
)
from retinue_history.schema import check_schema, current_revision, head_revision
from retinue_history.selected import CATEGORIES, DETECTION_COLUMNS, detection_rows, image_rows
from retinue_history.selection import ImageName, Selection
from retinue_history.spending import MonthTotals, month_of

__all__ = [
    "CATEGORIES",
    "DEFAULT_IOU",
    "DETECTION_COLUMNS",
    "JSON",
    "MAX_LABEL_BYTES",
    "REPLAY",
    "Activity",
    "ActivityReader",
    "AttemptKey",
    "Box",
    "Cause",
    "Charge",
    "ConfigurationRecord",
    "DetectionRecord",
    "Difference",
    "Enrolment",
    "Erasure",
    "Erasures",
    "Failures",
    "History",
    "HistoryDataError",
    "HistoryError",
    "HistorySchemaError",
    "HistoryUnavailableError",
    "ImageErasures",
    "ImageName",
    "ImageRecord",
    "ImageSubject",
    "ImageTraces",
    "IndexedFace",
    "KeptModel",
    "KnownImage",
    "KnownImages",
    "ModelLedger",
    "ModelSession",
    "MonthTotals",
    "Names",
    "Overlap",
    "People",
    "PersonBeingForgottenError",
    "QueryError",
    "QueryResult",
    "QuotaLease",
    "QuotaState",
    "RemovedObject",
    "Renewal",
    "ReplayImage",
    "Retention",
    "RunKey",
    "RunRecord",
    "Seen",
    "Selection",
    "Side",
    "Snapshot",
    "check_reader",
    "check_schema",
    "compare",
    "comparison_sql",
    "create_history_engine",
    "create_iam_logins",
    "current_revision",
    "detection_rows",
    "downgrade",
    "failed_images",
    "failure_causes",
    "head_revision",
    "image_rows",
    "images_by_id",
    "images_by_name",
    "maintain",
    "missing_images",
    "month_of",
    "overlap",
    "record_annotations",
    "run_query",
    "skip_event_id",
    "snapshot",
    "upgrade",
]
