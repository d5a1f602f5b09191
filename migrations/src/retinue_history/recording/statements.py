"""The SQL that ``history.py`` sends. Each statement takes one array per column."""

DONE_AND_ERASED = """
    SELECT done, erased FROM find_done_and_erased(%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

SUMMARIES = """
    SELECT * FROM find_summaries(
        %(image_id)s::uuid[], %(detector)s::text[], %(detector_version)s::text[],
        %(fingerprint)s::text[]
    )
"""

# The functions are in schema/sql/recording.sql, so that Postgres plans their statements once a
# session, whichever session a pooler picks. psycopg caches no parse of more than fifty parameters;
# together they have fewer.
_IMAGES = f"record_images({', '.join(['%s'] * 15)})"
_VIDEOS = "record_videos(%s, %s)"
_RUNS = f"record_runs({', '.join(['%s'] * 34)})"

RECORD_IMAGES = f"SELECT {_IMAGES}"
RECORD_VIDEOS = f"SELECT {_VIDEOS}"
RECORD_RUNS = f"SELECT {_RUNS}"

# One statement is one transaction, in one round trip. The images come first: record_runs() is
# called for the row of the others.
RECORD_IMAGES_AND_RUNS = f"SELECT {_RUNS} FROM {_IMAGES}"  # noqa: S608 - %s alone
RECORD_IMAGES_VIDEOS_AND_RUNS = (
    f"WITH first AS MATERIALIZED (SELECT {_IMAGES}), "  # noqa: S608 - %s alone
    f"second AS MATERIALIZED (SELECT {_VIDEOS} FROM first) SELECT {_RUNS} FROM second"
)

SAVE_CONFIGURATIONS = """
    INSERT INTO detector_configurations (detector, detector_version, fingerprint, options)
    SELECT detector, detector_version, fingerprint, options
    FROM ROWS FROM (
        unnest(
            %(detector)s::text[], %(detector_version)s::text[], %(fingerprint)s::text[]
        ),
        jsonb_array_elements(%(options)s::jsonb)
    ) AS given (detector, detector_version, fingerprint, options)
    ORDER BY detector, detector_version, fingerprint
    ON CONFLICT DO NOTHING
"""

# Unchanged rows are not written, so that `since` is the time of the last change.
USE_CONFIGURATIONS = """
    INSERT INTO configurations_in_use AS known
        (pool, detector, media, detector_version, fingerprint)
    SELECT %(pool)s, detector, media, detector_version, fingerprint
    FROM unnest(
        %(detector)s::text[], %(media)s::text[], %(detector_version)s::text[],
        %(fingerprint)s::text[]
    ) AS given (detector, media, detector_version, fingerprint)
    ORDER BY detector, media
    ON CONFLICT (pool, detector, media) DO UPDATE SET
        detector_version = excluded.detector_version,
        fingerprint = excluded.fingerprint,
        since = now()
    WHERE (known.detector_version, known.fingerprint)
        <> (excluded.detector_version, excluded.fingerprint)
"""
