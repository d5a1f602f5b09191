"""Write the history to files that other tools open.

All exports stream: memory grows only with the number of different labels.
"""

from retinue_cli.data.export.coco import write_coco
from retinue_cli.data.export.destination import destination
from retinue_cli.data.export.label_studio import write_label_studio
from retinue_cli.data.export.manifest import AnnotationType, write_manifest
from retinue_cli.data.export.outcome import Advance, Written
from retinue_cli.data.export.parquet import write_parquet
from retinue_cli.data.export.text import write_csv, write_jsonl
from retinue_cli.data.export.video import write_coco_video, write_cvat, write_webvtt

__all__ = [
    "Advance",
    "AnnotationType",
    "Written",
    "destination",
    "write_coco",
    "write_coco_video",
    "write_csv",
    "write_cvat",
    "write_jsonl",
    "write_label_studio",
    "write_manifest",
    "write_parquet",
    "write_webvtt",
]
