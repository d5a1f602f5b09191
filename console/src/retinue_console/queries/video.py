"""Times in videos."""

from typing import LiteralString

BEST_MOMENT: LiteralString = """CASE
        WHEN jsonb_typeof(attributes -> 'best_ms') = 'number'
            THEN least(greatest((attributes ->> 'best_ms')::numeric, start_ms), end_ms)
        ELSE start_ms
    END::bigint"""
"""The time of a detection's box, in milliseconds; null in an image. Columns of ``detections``."""
