-- The id that is shown, and asked for, is the image's own rather than the run's. Whoever asks for a page
-- of images then meets each image once, and not once for each detection.
CREATE OR REPLACE VIEW latest_detections AS
SELECT
    detections.detection_id,
    detections.run_id,
    images.image_id,
    images.bucket,
    images.key,
    images.version,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    runs.detector,
    runs.detector_version,
    runs.fingerprint,
    runs.model_version,
    detections.ordinal,
    detections.kind,
    detections.label,
    detections.confidence,
    detections.box_left,
    detections.box_top,
    detections.box_width,
    detections.box_height,
    detections.attributes,
    detections.detected_at,
    images.uploaded_at,
    box(
        point(detections.box_left, detections.box_top),
        point(
            detections.box_left + detections.box_width, detections.box_top + detections.box_height
        )
    ) AS box,
    images.width_px,
    images.height_px,
    detections.box_width * images.width_px AS box_width_px,
    detections.box_height * images.height_px AS box_height_px
FROM detections
JOIN runs ON runs.run_id = detections.run_id
    AND detections.detected_at BETWEEN runs.started_at AND runs.started_at
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

CREATE OR REPLACE VIEW latest_runs AS
SELECT
    runs.run_id,
    images.image_id,
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
