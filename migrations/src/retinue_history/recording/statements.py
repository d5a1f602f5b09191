"""The SQL that ``history.py`` sends. Each takes arrays, one per column: many rows, one trip."""

from sqlalchemy import text

# A key that was asked for with several events is settled when it is for each of them. A replay asks
# again even for an image that was found to be bad: somebody wants to know whether it still is.
SETTLED = """
    SELECT image_id, detector, detector_version, fingerprint
    FROM unnest(
        %(image_id)s::uuid[], %(detector)s::text[], %(detector_version)s::text[],
        %(fingerprint)s::text[], %(event_id)s::text[]
    ) AS asked (image_id, detector, detector_version, fingerprint, event_id)
    GROUP BY image_id, detector, detector_version, fingerprint
    HAVING bool_and(EXISTS (
        SELECT FROM runs
        WHERE runs.image_id = asked.image_id
            AND runs.detector = asked.detector
            AND runs.detector_version = asked.detector_version
            AND runs.fingerprint = asked.fingerprint
            AND (
                runs.outcome = 'succeeded'
                OR (NOT runs.retryable AND NOT starts_with(asked.event_id, 'replay:'))
                OR runs.event_id = asked.event_id
            )
    ))
"""

# The successful run of each key, with what it found; one row with nulls where that is nothing.
SEEN = """
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

FORGOTTEN = """
    SELECT forgotten_images(
        %(image_id)s::uuid[], %(bucket)s::text[], %(key)s::text[], %(uploaded_at)s::timestamptz[]
    )
"""

# The functions are in revision 0013: there, Postgres plans their statements once a connection.
# They have fifty parameters together: psycopg parses a statement with more each time it is sent.
_IMAGES = f"record_images({', '.join(['%s'] * 18)})"
_RUNS = f"record_runs({', '.join(['%s'] * 32)})"

RECORD_IMAGES = f"SELECT {_IMAGES}"
RECORD_RUNS = f"SELECT {_RUNS}"

# One statement is a transaction, in one trip. The images come first: a row of the one is what the
# other is called for.
RECORD_IMAGES_AND_RUNS = f"WITH seen AS MATERIALIZED (SELECT {_IMAGES}) SELECT {_RUNS} FROM seen"  # noqa: S608 - %s alone

SAVE_CONFIGURATIONS = text("""
    INSERT INTO detector_configurations (detector, detector_version, fingerprint, options)
    SELECT detector, detector_version, fingerprint, options
    FROM unnest(
        CAST(:detector AS text[]), CAST(:detector_version AS text[]), CAST(:fingerprint AS text[]),
        CAST(:options AS jsonb[])
    ) AS told (detector, detector_version, fingerprint, options)
    ORDER BY detector, detector_version, fingerprint
    ON CONFLICT DO NOTHING
""")
