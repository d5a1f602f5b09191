"""Retinue's detection history: tables, views, migrations, reads and writes.

Everything public is here: ``History`` for workers, ``run_query`` for analysts, ``upgrade`` and
``check_schema`` for deployment. In SQL, the views are the public interface; see docs/schema.md.
"""

from retinue_history.analysis.activity import Activity, ActivityReader
from retinue_history.analysis.comparison import (
    Difference,
    Overlap,
    Side,
    compare,
    comparison_sql,
    overlap,
)
from retinue_history.analysis.existing_runs import ExistingRuns
from retinue_history.analysis.exported_rows import (
    CATEGORIES,
    DETECTION_COLUMNS,
    detection_rows,
    image_rows,
)
from retinue_history.analysis.failures import (
    Cause,
    Failures,
    ReplayImage,
    failed_images,
    failure_causes,
    missing_images,
)
from retinue_history.analysis.ground_truth import (
    KnownImage,
    images_by_id,
    images_by_name,
    record_annotations,
)
from retinue_history.analysis.query import check_reader, run_query
from retinue_history.analysis.selection import ImageName, Selection
from retinue_history.db.engine import create_history_engine
from retinue_history.db.errors import (
    HistoryDataError,
    HistoryError,
    HistorySchemaError,
    HistorySetupError,
    HistoryUnavailableError,
    QueryError,
)
from retinue_history.db.pg_arrays import JSON
from retinue_history.db.snapshot import Snapshot, snapshot
from retinue_history.privacy.erasure import Erasure, Erasures, PersonNames
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject, ImageTraces
from retinue_history.privacy.people import Enrolment, IndexedFace, People
from retinue_history.recording.history import History
from retinue_history.recording.hosted_models import HostedModel, ModelSession, ModelSessions
from retinue_history.recording.quotas import QuotaLease, QuotaState, Renewal
from retinue_history.recording.records import (
    NULL_VERSION,
    REPLAY,
    Charge,
    ConfigurationRecord,
    DetectionRecord,
    DetectionSummary,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    TaskKey,
    skip_event_id,
)
from retinue_history.recording.spending import MonthTotals, month_of
from retinue_history.schema.logins import create_iam_logins
from retinue_history.schema.migrate import upgrade
from retinue_history.schema.version import check_schema, current_revision, head_revision
from retinue_history.upkeep.maintenance import DeletedImage, FindServed, Retention, maintain

__all__ = [
    "CATEGORIES",
    "DETECTION_COLUMNS",
    "JSON",
    "NULL_VERSION",
    "REPLAY",
    "Activity",
    "ActivityReader",
    "Cause",
    "Charge",
    "ConfigurationRecord",
    "DeletedImage",
    "DetectionRecord",
    "DetectionSummary",
    "Difference",
    "Enrolment",
    "Erasure",
    "Erasures",
    "ExistingRuns",
    "Failures",
    "FindServed",
    "History",
    "HistoryDataError",
    "HistoryError",
    "HistorySchemaError",
    "HistorySetupError",
    "HistoryUnavailableError",
    "HostedModel",
    "ImageErasures",
    "ImageName",
    "ImageRecord",
    "ImageSubject",
    "ImageTraces",
    "IndexedFace",
    "KnownImage",
    "ModelSession",
    "ModelSessions",
    "MonthTotals",
    "Overlap",
    "People",
    "PersonNames",
    "QueryError",
    "QuotaLease",
    "QuotaState",
    "RemovedObject",
    "Renewal",
    "ReplayImage",
    "Retention",
    "RunKey",
    "RunRecord",
    "Selection",
    "Side",
    "Snapshot",
    "TaskKey",
    "check_reader",
    "check_schema",
    "compare",
    "comparison_sql",
    "create_history_engine",
    "create_iam_logins",
    "current_revision",
    "detection_rows",
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
