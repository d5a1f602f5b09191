"""The SQL that ``history.py`` sends. Each statement takes arrays, one a column."""

from sqlalchemy import text

# A key that comes with several events is done if it is for each of them. A replay retries even an
# image that was found to be bad.
DONE = """
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

SUMMARIES = """
    SELECT * FROM find_summaries(
        %(image_id)s::uuid[], %(detector)s::text[], %(detector_version)s::text[],
        %(fingerprint)s::text[]
    )
"""

ERASED = """
    SELECT find_erased_images(
        %(image_id)s::uuid[], %(bucket)s::text[], %(key)s::text[], %(uploaded_at)s::timestamptz[]
    )
"""

# The functions are in schema/sql/recording.sql, so that Postgres plans their statements once a
# The functions are in schema/sql/recording.sql, so that Postgres plans their statements once a
# session, whichever session a pooler picks. psycopg caches no parse of more than fifty parameters;
# together they have fewer.
_IMAGES = f"record_images({', '.join(['%s'] * 15)})"
_RUNS = f"record_runs({', '.join(['%s'] * 33)})"

RECORD_IMAGES = f"SELECT {_IMAGES}"
RECORD_RUNS = f"SELECT {_RUNS}"

# One statement is one transaction, in one round trip. The images come first: the second function is
# called for the row of the first.
RECORD_IMAGES_AND_RUNS = f"WITH first AS MATERIALIZED (SELECT {_IMAGES}) SELECT {_RUNS} FROM first"  # noqa: S608 - %s alone

SAVE_CONFIGURATIONS = text("""
    INSERT INTO detector_configurations (detector, detector_version, fingerprint, options)
    SELECT detector, detector_version, fingerprint, options
    FROM unnest(
        CAST(:detector AS text[]), CAST(:detector_version AS text[]), CAST(:fingerprint AS text[]),
        CAST(:options AS jsonb[])
    ) AS given (detector, detector_version, fingerprint, options)
    ORDER BY detector, detector_version, fingerprint
    ON CONFLICT DO NOTHING
""")
