-- The sizes of images beside what was found in them. Columns are added at the end, so that readers see
-- either the old view or the new one.
CREATE OR REPLACE VIEW latest_runs AS
SELECT
    runs.run_id,
    runs.image_id,
    images.bucket,
    images.key,
    images.version,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    runs.detector,
    runs.detector_version,
    runs.fingerprint,
    runs.model_version,
    runs.started_at,
    runs.duration_ms,
    runs.detection_count,
    runs.billed_units,
    runs.price_usd,
    images.uploaded_at,
    images.size_bytes,
    images.width_px,
    images.height_px
FROM runs
JOIN images ON images.image_id = runs.image_id
WHERE runs.outcome = 'succeeded'
    AND images.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT FROM runs AS newer
        WHERE newer.image_id = runs.image_id
            AND newer.detector = runs.detector
            AND newer.outcome = 'succeeded'
            AND (newer.started_at, newer.run_id) > (runs.started_at, runs.run_id)
    );

CREATE OR REPLACE VIEW image_labels AS
SELECT
    images.image_id,
    images.bucket,
    images.key,
    images.version,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    images.uploaded_at,
    looked.detectors,
    coalesce(found.labels, '{}') AS labels,
    coalesce(found.confidences, '{}') AS confidences,
    images.size_bytes,
    images.width_px,
    images.height_px
FROM images
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT runs.detector) AS detectors
    FROM runs
    WHERE runs.image_id = images.image_id AND runs.outcome = 'succeeded'
) AS looked
CROSS JOIN LATERAL (
    SELECT
        array_agg(best.label ORDER BY best.label) AS labels,
        jsonb_object_agg(best.label, best.confidence) AS confidences
    FROM (
        SELECT latest_detections.label, max(latest_detections.confidence) AS confidence
        FROM latest_detections
        WHERE latest_detections.image_id = images.image_id
        GROUP BY latest_detections.label
    ) AS best
) AS found
WHERE images.deleted_at IS NULL AND looked.detectors IS NOT NULL;

COMMENT ON COLUMN latest_runs.size_bytes IS
    'The object''s size in bytes; null if not known';
COMMENT ON COLUMN latest_runs.width_px IS
    'The image''s width in pixels as displayed; null if not known';
COMMENT ON COLUMN latest_runs.height_px IS
    'The image''s height in pixels as displayed; null if not known';
COMMENT ON COLUMN image_labels.size_bytes IS
    'The object''s size in bytes; null if not known';
COMMENT ON COLUMN image_labels.width_px IS
    'The image''s width in pixels as displayed; null if not known';
COMMENT ON COLUMN image_labels.height_px IS
    'The image''s height in pixels as displayed; null if not known';
