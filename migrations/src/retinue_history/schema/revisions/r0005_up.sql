ALTER TABLE runs ADD COLUMN IF NOT EXISTS avoided_usd numeric;

ALTER TABLE runs
    DROP CONSTRAINT ck_runs_outcome,
    DROP CONSTRAINT ck_runs_success_is_final,
    DROP CONSTRAINT IF EXISTS ck_runs_error_when_failed,
    DROP CONSTRAINT IF EXISTS ck_runs_error_unless_succeeded,
    DROP CONSTRAINT IF EXISTS ck_runs_avoided_usd,
    ADD CONSTRAINT ck_runs_outcome
        CHECK (outcome IN ('succeeded', 'failed', 'skipped')) NOT VALID,
    ADD CONSTRAINT ck_runs_success_is_final
        CHECK (CASE outcome WHEN 'succeeded' THEN final WHEN 'skipped' THEN NOT final ELSE true END)
        NOT VALID,
    ADD CONSTRAINT ck_runs_error_unless_succeeded
        CHECK (
            num_nulls(error_code, error_message) = CASE outcome WHEN 'succeeded' THEN 2 ELSE 0 END
        ) NOT VALID,
    ADD CONSTRAINT ck_runs_avoided_usd
        CHECK (
            CASE outcome
                WHEN 'skipped' THEN coalesce(avoided_usd >= 0 AND avoided_usd < 'Infinity', false)
                ELSE avoided_usd IS NULL
            END
        ) NOT VALID;

COMMENT ON TABLE runs IS
    'One row per attempt of one detector at one image, and per skip. A run key (image, detector, '
    'detector version, fingerprint) succeeds once; failed attempts stay';
COMMENT ON COLUMN runs.event_id IS
    'What caused this attempt: the S3 event''s sequencer, or the id of a replay. A skip''s ends '
    'with /skipped, so that it never stands in the way of an attempt';
COMMENT ON COLUMN runs.outcome IS
    'succeeded, failed, or skipped (the route decided against it, and the detector was not '
    'called); found nothing is succeeded';
COMMENT ON COLUMN runs.error_code IS
    'Why it failed or was skipped, for programs; null if it succeeded';
COMMENT ON COLUMN runs.error_message IS
    'Why it failed or was skipped, for people; null if it succeeded';
COMMENT ON COLUMN runs.started_at IS
    'When the detector was called, or the route decided against it';
COMMENT ON COLUMN runs.avoided_usd IS
    'What one billed unit would have cost, in US dollars; null unless skipped';

CREATE OR REPLACE VIEW skipped_runs AS
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
    runs.error_code AS reason_code,
    runs.error_message AS reason,
    runs.avoided_usd,
    runs.started_at AS skipped_at,
    images.deleted_at
FROM runs
JOIN images ON images.image_id = runs.image_id
WHERE runs.outcome = 'skipped'
    AND NOT EXISTS (
        SELECT FROM runs AS success
        WHERE success.image_id = runs.image_id
            AND success.detector = runs.detector
            AND success.detector_version = runs.detector_version
            AND success.fingerprint = runs.fingerprint
            AND success.outcome = 'succeeded'
    );

COMMENT ON VIEW skipped_runs IS
    'Images that a route kept from a detector, and why, unless the run key (image, detector, '
    'detector version, fingerprint) succeeded before or since. One row per event';
COMMENT ON COLUMN skipped_runs.run_id IS 'Row number';
COMMENT ON COLUMN skipped_runs.image_id IS 'image_id(bucket, key, version)';
COMMENT ON COLUMN skipped_runs.bucket IS 'The S3 bucket''s name';
COMMENT ON COLUMN skipped_runs.key IS 'The S3 object''s key, decoded';
COMMENT ON COLUMN skipped_runs.version IS
    'The S3 version id, or the ETag where the bucket is unversioned';
COMMENT ON COLUMN skipped_runs.s3_uri IS 's3://bucket/key; does not tell versions apart';
COMMENT ON COLUMN skipped_runs.detector IS 'The detector''s name';
COMMENT ON COLUMN skipped_runs.detector_version IS 'The detector''s version';
COMMENT ON COLUMN skipped_runs.fingerprint IS
    'Digest of the detector''s options and of the model they name';
COMMENT ON COLUMN skipped_runs.event_id IS 'The event that was decided about, and /skipped';
COMMENT ON COLUMN skipped_runs.reason_code IS 'Which condition did not hold, for programs';
COMMENT ON COLUMN skipped_runs.reason IS 'Which condition did not hold, for people';
COMMENT ON COLUMN skipped_runs.avoided_usd IS
    'What one billed unit would have cost, in US dollars';
COMMENT ON COLUMN skipped_runs.skipped_at IS 'When the route decided';
COMMENT ON COLUMN skipped_runs.deleted_at IS
    'When the image was removed or found missing; null while it exists';

CREATE OR REPLACE VIEW run_costs AS
SELECT
    runs.detector,
    (runs.started_at AT TIME ZONE 'UTC')::date AS day,
    count(*) FILTER (WHERE runs.outcome <> 'skipped') AS runs,
    count(*) FILTER (WHERE runs.outcome = 'failed') AS failed_runs,
    sum(runs.billed_units) AS billed_units,
    sum(runs.price_usd) AS price_usd,
    count(*) FILTER (WHERE runs.outcome = 'skipped') AS skipped_runs,
    coalesce(sum(runs.avoided_usd), 0) AS avoided_usd
FROM runs
GROUP BY runs.detector, (runs.started_at AT TIME ZONE 'UTC')::date;

COMMENT ON VIEW run_costs IS 'What each detector cost on each day, and what its route saved';
COMMENT ON COLUMN run_costs.skipped_runs IS 'How many images a route kept from the detector';
COMMENT ON COLUMN run_costs.avoided_usd IS
    'The saving, in US dollars: for each skip the price of one billed unit as it was then. An '
    'estimate: where a call bills several units, or none, the truth differs';

GRANT SELECT ON skipped_runs TO retinue_writer, retinue_reader;
