"""The SQL that ``history.py`` sends. Each statement takes arrays, one a column."""

from sqlalchemy import text

DONE_AND_ERASED = """
    SELECT done, erased FROM find_done_and_erased(%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# The successful run of each key with what it found: one row with nulls if it found nothing.
SUMMARIES = """
    SELECT
        runs.image_id, runs.detector, runs.detector_version, runs.fingerprint,
        detections.kind, detections.label, detections.confidence
    FROM unnest(
        %(image_id)s::uuid[], %(detector)s::text[], %(detector_version)s::text[],
        %(fingerprint)s::text[]
    ) AS asked (image_id, detector, detector_version, fingerprint)
    JOIN runs USING (image_id, detector, detector_version, fingerprint)
    LEFT JOIN detections
        ON detections.run_id = runs.run_id AND detections.detected_at = runs.started_at
    WHERE runs.outcome = 'succeeded'
    ORDER BY runs.run_id, detections.ordinal
"""

# The functions are in schema/sql/recording.sql, so that Postgres plans their statements once a
# connection. Together they have fifty parameters: psycopg caches no parse of more.
_IMAGES = f"record_images({', '.join(['%s'] * 18)})"
_RUNS = f"record_runs({', '.join(['%s'] * 32)})"

RECORD_IMAGES = f"SELECT {_IMAGES}"
RECORD_RUNS = f"SELECT {_RUNS}"

# One statement is one transaction, in one round trip. The images come first: the second function is
# called for the row of the first.
RECORD_IMAGES_AND_RUNS = f"WITH first AS MATERIALIZED (SELECT {_IMAGES}) SELECT {_RUNS} FROM first"  # noqa: S608 - %s alone

SAVE_CONFIGURATIONS = text("""
    INSERT INTO detector_configurations (detector, detector_version, fingerprint, options)
    SELECT detector, detector_version, fingerprint, options
    FROM ROWS FROM (
        unnest(
            CAST(:detector AS text[]), CAST(:detector_version AS text[]),
            CAST(:fingerprint AS text[])
        ),
        jsonb_array_elements(CAST(:options AS jsonb))
    ) AS given (detector, detector_version, fingerprint, options)
    ORDER BY detector, detector_version, fingerprint
    ON CONFLICT DO NOTHING
""")
