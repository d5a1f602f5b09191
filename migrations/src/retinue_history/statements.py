"""The SQL that ``history.py`` sends. Each takes arrays, one per column: many rows, one trip.

Rows are sorted by their key before they are written, so that two workers with overlapping rows take
the rows' locks in the same order and cannot deadlock.
"""

from sqlalchemy import text

# A key that was asked for with several events is settled when it is for each of them. A replay asks
# again even for an image that was found to be bad: somebody wants to know whether it still is.
SETTLED = text("""
    SELECT image_id, detector, detector_version, fingerprint
    FROM unnest(
        CAST(:image_id AS uuid[]), CAST(:detector AS text[]), CAST(:detector_version AS text[]),
        CAST(:fingerprint AS text[]), CAST(:event_id AS text[])
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
                OR (runs.final AND NOT starts_with(asked.event_id, 'replay:'))
                OR runs.event_id = asked.event_id
            )
    ))
""")

# The successful run of each key, with what it found; one row with nulls where that is nothing.
SEEN = text("""
    SELECT
        runs.image_id, runs.detector, runs.detector_version, runs.fingerprint,
        detections.kind, detections.label, detections.confidence
    FROM unnest(
        CAST(:image_id AS uuid[]), CAST(:detector AS text[]), CAST(:detector_version AS text[]),
        CAST(:fingerprint AS text[])
    ) AS asked (image_id, detector, detector_version, fingerprint)
    JOIN runs USING (image_id, detector, detector_version, fingerprint)
    LEFT JOIN detections ON detections.run_id = runs.run_id
    WHERE runs.outcome = 'succeeded'
    ORDER BY runs.run_id, detections.ordinal
""")

# A removal must see every creation of its key that was committed before it, and the other way
# round; snapshots alone do not give that. Creations share a lock, removals have it to themselves.
LOCK_KEYS = text("""
    SELECT CASE
        WHEN exclusive THEN pg_advisory_xact_lock(:space, stripe)
        ELSE pg_advisory_xact_lock_shared(:space, stripe)
    END
    FROM unnest(CAST(:stripe AS int[]), CAST(:exclusive AS boolean[]))
        AS wanted (stripe, exclusive)
""")

# Sightings of one image are merged, here and with the row that exists, by functions that do not
# care for order: the earliest, the latest, the first that is known. DO UPDATE locks the row even
# where its WHERE finds nothing to change, and then writes nothing.
SAVE_IMAGES = text("""
    INSERT INTO images AS known (
        image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
        uploaded_at, last_uploaded_at, sequencer
    )
    SELECT
        image_id, min(bucket), min(key), min(version), bool_or(versioned), min(etag),
        max(size_bytes),
        (array_agg(width_px ORDER BY width_px, height_px))[1],
        (array_agg(height_px ORDER BY width_px, height_px))[1],
        min(uploaded_at), max(uploaded_at),
        (array_agg(sequencer ORDER BY sequencer_rank(sequencer) DESC NULLS LAST))[1]
    FROM unnest(
        CAST(:image_id AS uuid[]), CAST(:bucket AS text[]), CAST(:key AS text[]),
        CAST(:version AS text[]), CAST(:versioned AS boolean[]), CAST(:etag AS text[]),
        CAST(:size_bytes AS bigint[]), CAST(:width_px AS int[]), CAST(:height_px AS int[]),
        CAST(:uploaded_at AS timestamptz[]), CAST(:sequencer AS text[])
    ) AS seen (
        image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
        uploaded_at, sequencer
    )
    GROUP BY image_id
    ORDER BY image_id
    ON CONFLICT (image_id) DO UPDATE SET
        etag = coalesce(known.etag, excluded.etag),
        size_bytes = coalesce(known.size_bytes, excluded.size_bytes),
        width_px = coalesce(known.width_px, excluded.width_px),
        height_px = coalesce(known.height_px, excluded.height_px),
        uploaded_at = least(known.uploaded_at, excluded.uploaded_at),
        last_uploaded_at = greatest(known.last_uploaded_at, excluded.last_uploaded_at),
        sequencer = CASE
            WHEN sequencer_rank(known.sequencer) >= sequencer_rank(excluded.sequencer)
            THEN known.sequencer
            ELSE coalesce(excluded.sequencer, known.sequencer)
        END
    WHERE (known.etag IS NULL AND excluded.etag IS NOT NULL)
        OR (known.size_bytes IS NULL AND excluded.size_bytes IS NOT NULL)
        OR (known.width_px IS NULL AND excluded.width_px IS NOT NULL)
        OR excluded.uploaded_at < known.uploaded_at
        OR excluded.last_uploaded_at > known.last_uploaded_at
        OR (known.sequencer IS NULL AND excluded.sequencer IS NOT NULL)
        OR sequencer_rank(excluded.sequencer) > sequencer_rank(known.sequencer)
""")

SAVE_REMOVALS = text("""
    INSERT INTO removals (bucket, key, version, sequencer, removed_at)
    SELECT bucket, key, version, sequencer, removed_at
    FROM unnest(
        CAST(:bucket AS text[]), CAST(:key AS text[]), CAST(:version AS text[]),
        CAST(:sequencer AS text[]), CAST(:removed_at AS timestamptz[])
    ) AS told (bucket, key, version, sequencer, removed_at)
    ORDER BY bucket, key, version, sequencer, removed_at
    ON CONFLICT DO NOTHING
""")

# An image is deleted by each removal that came after its last creation and, in an unversioned
# bucket, by each other image that was put in its place. The outcome follows from what is known, not
# from the order in which it came to be known.
JUDGE_IMAGES = text("""
    UPDATE images SET deleted_at = judged.deleted_at
    FROM (
        SELECT touched.image_id, least((
            SELECT min(removals.removed_at)
            FROM removals
            WHERE removals.bucket = touched.bucket
                AND removals.key = touched.key
                AND (removals.version IS NULL OR removals.version = touched.version)
                AND coalesce(
                    sequencer_rank(removals.sequencer) >= sequencer_rank(touched.sequencer),
                    removals.removed_at >= touched.last_uploaded_at
                )
        ), (
            SELECT min(newer.last_uploaded_at)
            FROM images AS newer
            WHERE newer.bucket = touched.bucket
                AND newer.key = touched.key
                AND NOT newer.versioned
                AND NOT touched.versioned
                AND coalesce(
                    sequencer_rank(newer.sequencer) > sequencer_rank(touched.sequencer),
                    newer.last_uploaded_at > touched.last_uploaded_at
                )
        )) AS deleted_at
        FROM images AS touched
        WHERE touched.image_id IN (
            SELECT unnest(CAST(:image_id AS uuid[]))
            UNION
            SELECT images.image_id
            FROM unnest(CAST(:bucket AS text[]), CAST(:key AS text[])) AS told (bucket, key)
            JOIN images ON images.bucket = told.bucket AND images.key = told.key
        )
    ) AS judged
    WHERE images.image_id = judged.image_id
        AND images.deleted_at IS DISTINCT FROM judged.deleted_at
""")

# Without a conflict target: neither the same attempt twice nor a second success may be inserted.
SAVE_RUNS = text("""
    INSERT INTO runs (
        image_id, detector, detector_version, fingerprint, event_id, outcome, final, error_code,
        error_message, model_version, started_at, duration_ms, detection_count, billed_units,
        price_usd, raw_response, avoided_usd
    )
    SELECT
        image_id, detector, detector_version, fingerprint, event_id, outcome, final, error_code,
        error_message, model_version, started_at, duration_ms, detection_count, billed_units,
        price_usd, raw_response, avoided_usd
    FROM unnest(
        CAST(:image_id AS uuid[]), CAST(:detector AS text[]), CAST(:detector_version AS text[]),
        CAST(:fingerprint AS text[]), CAST(:event_id AS text[]), CAST(:outcome AS text[]),
        CAST(:final AS boolean[]), CAST(:error_code AS text[]), CAST(:error_message AS text[]),
        CAST(:model_version AS text[]), CAST(:started_at AS timestamptz[]),
        CAST(:duration_ms AS double precision[]), CAST(:detection_count AS int[]),
        CAST(:billed_units AS numeric[]), CAST(:price_usd AS numeric[]),
        CAST(CAST(:raw_response AS text[]) AS jsonb[]), CAST(:avoided_usd AS numeric[])
    ) AS made (
        image_id, detector, detector_version, fingerprint, event_id, outcome, final, error_code,
        error_message, model_version, started_at, duration_ms, detection_count, billed_units,
        price_usd, raw_response, avoided_usd
    )
    ORDER BY image_id, detector, detector_version, fingerprint, outcome DESC, event_id
    ON CONFLICT DO NOTHING
    RETURNING run_id, image_id, detector, detector_version, fingerprint, event_id
""")

SAVE_DETECTIONS = text("""
    INSERT INTO detections (
        run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
        box_height, attributes, detected_at
    )
    SELECT
        run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
        box_height, attributes, detected_at
    FROM unnest(
        CAST(:run_id AS bigint[]), CAST(:image_id AS uuid[]), CAST(:ordinal AS int[]),
        CAST(:kind AS text[]), CAST(:label AS text[]), CAST(:confidence AS double precision[]),
        CAST(:box_left AS double precision[]), CAST(:box_top AS double precision[]),
        CAST(:box_width AS double precision[]), CAST(:box_height AS double precision[]),
        CAST(CAST(:attributes AS text[]) AS jsonb[]), CAST(:detected_at AS timestamptz[])
    ) AS found (
        run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
        box_height, attributes, detected_at
    )
""")

SAVE_CONFIGURATIONS = text("""
    INSERT INTO detector_configurations (detector, detector_version, fingerprint, options)
    SELECT detector, detector_version, fingerprint, options
    FROM unnest(
        CAST(:detector AS text[]), CAST(:detector_version AS text[]), CAST(:fingerprint AS text[]),
        CAST(CAST(:options AS text[]) AS jsonb[])
    ) AS told (detector, detector_version, fingerprint, options)
    ORDER BY detector, detector_version, fingerprint
    ON CONFLICT DO NOTHING
""")
