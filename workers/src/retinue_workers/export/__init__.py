"""The history as files that other tools open.

Everything streams: memory does not grow with the number of detections, only with the number of
different labels.
"""

from retinue_workers.export.coco import write_coco
from retinue_workers.export.destination import destination
from retinue_workers.export.manifest import Form, write_manifest
from retinue_workers.export.outcome import Advance, Written
from retinue_workers.export.parquet import write_parquet
from retinue_workers.export.text import write_csv, write_jsonl

__all__ = [
    "Advance",
    "Form",
    "Written",
    "destination",
    "write_coco",
    "write_csv",
    "write_jsonl",
    "write_manifest",
    "write_parquet",
]
