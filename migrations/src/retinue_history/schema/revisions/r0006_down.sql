DROP TRIGGER await_erasures ON images;
DROP TRIGGER withhold_erased_image ON images;
DROP TRIGGER await_erasures ON removals;
DROP TRIGGER withhold_erased_image ON removals;
DROP TRIGGER await_erasures ON runs;
DROP TRIGGER withhold_erased_image ON runs;
DROP FUNCTION
    forgotten_images(uuid[], text[], text[], timestamptz[]), withhold_erased_image(),
    withhold_run_of_erased_image(), withhold_removal_of_erased_image(), await_erasures(),
    erased_until(text, text, uuid);
DROP TABLE erased_images;

CREATE OR REPLACE VIEW detector_versions AS
SELECT
    made.detector, made.detector_version, made.fingerprint, made.model_version,
    configured.options, made.runs, made.failed_runs, made.detections, made.first_run_at,
    made.last_run_at
FROM (
    SELECT
        detector, detector_version, fingerprint, model_version, count(*) AS runs,
        count(*) FILTER (WHERE outcome = 'failed') AS failed_runs,
        sum(detection_count) AS detections, min(started_at) AS first_run_at,
        max(started_at) AS last_run_at
    FROM runs
    GROUP BY detector, detector_version, fingerprint, model_version
) AS made
LEFT JOIN detector_configurations AS configured
    ON configured.detector = made.detector
    AND configured.detector_version = made.detector_version
    AND configured.fingerprint = made.fingerprint;
