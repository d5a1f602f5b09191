CREATE VIEW detection_history AS
SELECT
    detections.detection_id,
    detections.run_id,
    runs.image_id,
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
    images.deleted_at
FROM detections
JOIN runs ON runs.run_id = detections.run_id
JOIN images ON images.image_id = runs.image_id;

COMMENT ON VIEW detection_history IS
    'Every detection ever made, with its image and detector; several runs of one image all count';

-- An anti-join, where DISTINCT ON would read better: a condition on the image, the label or the
-- time then reaches the tables' indexes instead of filtering the newest runs of all images.
CREATE VIEW latest_detections AS
SELECT
    detections.detection_id,
    detections.run_id,
    runs.image_id,
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
    images.uploaded_at
FROM detections
JOIN runs ON runs.run_id = detections.run_id
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

COMMENT ON VIEW latest_detections IS
    'What each detector found in its newest successful run on each image that still exists';

CREATE VIEW failed_runs AS
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
    runs.event_id,
    runs.error_code,
    runs.error_message,
    runs.final,
    runs.started_at,
    images.deleted_at
FROM runs
JOIN images ON images.image_id = runs.image_id
WHERE runs.outcome = 'failed'
    AND NOT EXISTS (
        SELECT FROM runs AS success
        WHERE success.image_id = runs.image_id
            AND success.detector = runs.detector
            AND success.detector_version = runs.detector_version
            AND success.fingerprint = runs.fingerprint
            AND success.outcome = 'succeeded'
    );

COMMENT ON VIEW failed_runs IS
    'Failed runs whose run key (image, detector, detector version, fingerprint) has not succeeded: '
    'what `retinue replay` can select. One row per attempt';

CREATE VIEW run_costs AS
SELECT
    runs.detector,
    (runs.started_at AT TIME ZONE 'UTC')::date AS day,
    count(*) AS runs,
    count(*) FILTER (WHERE runs.outcome = 'failed') AS failed_runs,
    sum(runs.billed_units) AS billed_units,
    sum(runs.price_usd) AS price_usd
FROM runs
GROUP BY runs.detector, (runs.started_at AT TIME ZONE 'UTC')::date;

COMMENT ON VIEW run_costs IS 'What each detector cost on each day';

COMMENT ON COLUMN run_costs.detector IS 'The detector''s name';
COMMENT ON COLUMN run_costs.day IS 'The day in UTC on which the runs started';
COMMENT ON COLUMN run_costs.runs IS 'How many runs, failed ones included';
COMMENT ON COLUMN run_costs.failed_runs IS 'How many of them failed';
COMMENT ON COLUMN run_costs.billed_units IS 'Units that the provider bills for them';
COMMENT ON COLUMN run_costs.price_usd IS 'What they cost, in US dollars';

-- The columns that views take over from tables take over their comments too, said here once.
DO $$
DECLARE
    view_column record;
BEGIN
    FOR view_column IN
        SELECT v.relname AS view_name, a.attname AS column_name, said.comment
        FROM (VALUES
            ('detection_id', 'The detection''s row number'),
            ('run_id', 'The run that made it'),
            ('image_id', 'image_id(bucket, key, version)'),
            ('bucket', 'The S3 bucket''s name'),
            ('key', 'The S3 object''s key, decoded'),
            ('version', 'The S3 version id, or the ETag where the bucket is unversioned'),
            ('s3_uri', 's3://bucket/key; does not tell versions apart'),
            ('detector', 'The detector''s name'),
            ('detector_version', 'The detector''s version'),
            ('fingerprint', 'Digest of the detector''s options and of the model they name'),
            ('model_version', 'The model''s version as the detector reports it'),
            ('event_id', 'What caused the attempt: the S3 event''s sequencer, '
                'or the id of a replay'),
            ('error_code', 'Why it failed, for programs'),
            ('error_message', 'Why it failed, for people'),
            ('final', 'Whether trying again on the same image cannot change the outcome'),
            ('started_at', 'When the detector was called'),
            ('ordinal', 'Position in the detector''s answer, from 0'),
            ('kind', 'What sort of finding it is: label, face, text, …'),
            ('label', 'What was found'),
            ('confidence', 'How sure the detector is, 0 to 1'),
            ('box_left', 'Left edge of the bounding box as a ratio of the displayed image''s '
                'width; may lie outside 0 to 1; null if the detector does not say where'),
            ('box_top', 'Top edge as a ratio of the displayed image''s height; '
                'may lie outside 0 to 1'),
            ('box_width', 'Width as a ratio of the displayed image''s width'),
            ('box_height', 'Height as a ratio of the displayed image''s height'),
            ('attributes', 'Whatever else the detector says about it'),
            ('detected_at', 'When the detector was called'),
            ('uploaded_at', 'When S3 first created the image (event time)'),
            ('deleted_at', 'When the image was removed or found missing; null while it exists')
        ) AS said (column_name, comment)
        JOIN pg_attribute AS a ON a.attname = said.column_name
        JOIN pg_class AS v ON v.oid = a.attrelid
        WHERE v.oid IN (
            'detection_history'::regclass, 'latest_detections'::regclass, 'failed_runs'::regclass
        )
    LOOP
        EXECUTE format(
            'COMMENT ON COLUMN %I.%I IS %L',
            view_column.view_name, view_column.column_name, view_column.comment
        );
    END LOOP;
END $$;
