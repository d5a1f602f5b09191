DROP VIEW skipped_runs;
DROP VIEW run_costs;
DELETE FROM runs WHERE outcome = 'skipped';

ALTER TABLE runs
    DROP CONSTRAINT ck_runs_outcome,
    DROP CONSTRAINT ck_runs_success_is_final,
    DROP CONSTRAINT ck_runs_error_unless_succeeded,
    DROP CONSTRAINT ck_runs_avoided_usd,
    DROP COLUMN avoided_usd,
    ADD CONSTRAINT ck_runs_outcome CHECK (outcome IN ('succeeded', 'failed')),
    ADD CONSTRAINT ck_runs_success_is_final CHECK (final OR outcome = 'failed'),
    ADD CONSTRAINT ck_runs_error_when_failed CHECK (
        num_nulls(error_code, error_message) = CASE outcome WHEN 'failed' THEN 0 ELSE 2 END
    );

COMMENT ON TABLE runs IS
    'One row per attempt of one detector at one image. A run key (image, detector, detector '
    'version, fingerprint) succeeds once; failed attempts stay';
COMMENT ON COLUMN runs.event_id IS
    'What caused this attempt: the S3 event''s sequencer, or the id of a replay';
COMMENT ON COLUMN runs.outcome IS 'succeeded or failed; found nothing is succeeded';
COMMENT ON COLUMN runs.error_code IS 'Why it failed, for programs; null if it succeeded';
COMMENT ON COLUMN runs.error_message IS 'Why it failed, for people; null if it succeeded';
COMMENT ON COLUMN runs.started_at IS 'When the detector was called';

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
GRANT SELECT ON run_costs TO retinue_writer, retinue_reader;
