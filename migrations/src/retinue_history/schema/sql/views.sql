-- The views are the public interface: their names and columns are stable.

CREATE FUNCTION box_area(a box) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN area(a);

COMMENT ON FUNCTION box_area(box) IS
    'The area of a view''s box as a share of the image. Multiply by width_px and height_px for '
    'square pixels';

CREATE FUNCTION iou(a box, b box) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- The common area of the boxes over the area that either covers. a # b is null if they are disjoint.
    RETURN coalesce(
        area(a # b) / nullif(area(a) + area(b) - area(a # b), 0), 0
    );

COMMENT ON FUNCTION iou(box, box) IS
    'Intersection over union of two boxes of one image: 0 if they are disjoint, 1 if equal';

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
    images.deleted_at,
    box(
        point(detections.box_left, detections.box_top),
        point(
            detections.box_left + detections.box_width, detections.box_top + detections.box_height
        )
    ) AS box,
    images.width_px,
    images.height_px,
    detections.box_width * images.width_px AS box_width_px,
    detections.box_height * images.height_px AS box_height_px,
    detections.start_ms,
    detections.end_ms,
    detections.track
FROM detections
JOIN runs ON runs.run_id = detections.run_id
JOIN images ON images.image_id = runs.image_id;

COMMENT ON VIEW detection_history IS
    'Every detection of every run, with its image and detector';

-- The latest run is the newest with options that a pool uses. Options that were tried and dropped don't
-- hide it. If no run has options in use, it is the newest of all. Hardly any image has two runs of a
-- detector, and a run's id is compared before anything is looked up.
-- An anti-join instead of DISTINCT ON, so that a condition on the image, the label or the time reaches
-- the tables' indexes. With DISTINCT ON, the newest runs of all images would be computed first.
-- The image_id is that of images, so that a page of images is read image by image.
CREATE VIEW latest_runs AS
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
    images.height_px,
    runs.truncated
FROM runs
JOIN images ON images.image_id = runs.image_id
WHERE runs.outcome = 'succeeded'
    AND runs.model_version IS DISTINCT FROM 'emulator'
    AND images.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT FROM runs AS other
        WHERE other.image_id = runs.image_id
            AND other.detector = runs.detector
            AND other.outcome = 'succeeded'
            AND other.model_version IS DISTINCT FROM 'emulator'
            AND other.run_id <> runs.run_id
            AND (
                EXISTS (
                    SELECT FROM configurations_in_use AS used
                    WHERE used.detector = other.detector
                        AND used.detector_version = other.detector_version
                        AND used.fingerprint = other.fingerprint
                ), other.started_at, other.run_id
            ) > (
                EXISTS (
                    SELECT FROM configurations_in_use AS used
                    WHERE used.detector = runs.detector
                        AND used.detector_version = runs.detector_version
                        AND used.fingerprint = runs.fingerprint
                ), runs.started_at, runs.run_id
            )
    );

COMMENT ON VIEW latest_runs IS
    'The latest run of each detector on each image that still exists: the newest successful run '
    'with options that are in use, or else the newest; a detection_count of 0 means that it found '
    'nothing. Detections of emulators are left out';

-- The time of a run tells in which partition its detections are. BETWEEN, because the planner takes an
-- equals sign for a second independent condition and expects next to no rows.
CREATE VIEW latest_detections AS
SELECT
    detections.detection_id,
    detections.run_id,
    runs.image_id,
    runs.bucket,
    runs.key,
    runs.version,
    runs.s3_uri,
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
    runs.uploaded_at,
    box(
        point(detections.box_left, detections.box_top),
        point(
            detections.box_left + detections.box_width, detections.box_top + detections.box_height
        )
    ) AS box,
    runs.width_px,
    runs.height_px,
    detections.box_width * runs.width_px AS box_width_px,
    detections.box_height * runs.height_px AS box_height_px,
    detections.start_ms,
    detections.end_ms,
    detections.track
FROM detections
JOIN latest_runs AS runs ON runs.run_id = detections.run_id
    AND detections.detected_at BETWEEN runs.started_at AND runs.started_at;

COMMENT ON VIEW latest_detections IS
    'Detections of each detector''s latest run on each image that still exists: the newest '
    'successful run with options that are in use, or else the newest. Detections of emulators are '
    'left out';

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
    runs.retryable,
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
    'Failed runs whose run key (image, detector, detector version, fingerprint) has not succeeded. '
    '`retinue replay` selects from it. One row per attempt';

CREATE VIEW run_costs AS
SELECT
    detector,
    day,
    sum(runs) AS runs,
    sum(failed_runs) AS failed_runs,
    sum(billed_units) AS billed_units,
    sum(price_usd) AS price_usd,
    sum(skipped_runs) AS skipped_runs,
    sum(saved_usd) AS saved_usd
FROM run_counts
WHERE model_version IS DISTINCT FROM 'emulator'
GROUP BY detector, day
HAVING sum(runs) > 0 OR sum(skipped_runs) > 0;

COMMENT ON VIEW run_costs IS
    'Costs of each detector on each day, and savings of its route. An emulator costs nothing';

CREATE VIEW newest_runs AS
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
    runs.detection_count,
    EXISTS (
        SELECT FROM configurations_in_use AS used
        WHERE used.detector = runs.detector
            AND used.detector_version = runs.detector_version
            AND used.fingerprint = runs.fingerprint
    ) AS in_use
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

COMMENT ON VIEW newest_runs IS
    'The newest successful run of each detector on each image that still exists, whether or not its '
    'options are in use';

CREATE VIEW image_labels AS
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
    WHERE runs.image_id = images.image_id
        AND runs.outcome = 'succeeded'
        AND runs.model_version IS DISTINCT FROM 'emulator'
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

COMMENT ON VIEW image_labels IS
    'One row per image that still exists and has a successful run, with all labels of its latest '
    'runs. To find images by label, query latest_detections, which has an index';

-- Days whose shards are all merged have one row for each series. Only the others are added up, which
-- would take a quarter of the time of reading a month. Both parts come in the order of the primary key,
-- so that nothing is sorted or hashed: the first is a table without conditions, which the planner doesn't
-- see as a query. In the second, the other texts are the same in all rows of a series.
CREATE VIEW label_counts_daily AS
SELECT
    day, detector, detector_version, model_version, kind, label, detections,
    confidence_ppm / 1000000.0 / detections AS mean_confidence
FROM (
    SELECT
        true AS is_merged, day, detector, detector_version, model_version, kind, label, detections,
        confidence_ppm
    FROM label_counts
    UNION ALL
    SELECT
        false, day, min(detector), min(detector_version), min(model_version), min(kind), label,
        sum(detections)::int, sum(confidence_ppm)::bigint
    FROM label_counts
    WHERE day >= (SELECT coalesce(min(day), 'infinity') FROM label_counts WHERE shard <> 0)
    GROUP BY day, label, series
) AS counts
WHERE model_version IS DISTINCT FROM 'emulator' AND detections > 0
    AND (
        NOT is_merged
        OR day < (SELECT coalesce(min(day), 'infinity') FROM label_counts WHERE shard <> 0)
    );

COMMENT ON VIEW label_counts_daily IS
    'How many detections of each label each model made on each day. Always exact, and kept when '
    '`retinue maintain` drops a month of detections. Recognized texts (kind text) are counted '
    'together, with an empty label';

CREATE VIEW drift AS
SELECT
    found.detector, found.detector_version, found.model_version, found.week, found.kind,
    found.label, made.runs, found.detections,
    found.detections::double precision / made.runs AS detections_per_run,
    found.mean_confidence
FROM (
    SELECT
        detector, detector_version, model_version, date_trunc('week', day::timestamp)::date AS week,
        kind, label, sum(detections) AS detections,
        sum(confidence_ppm) / 1000000.0 / sum(detections) AS mean_confidence
    FROM label_counts
    WHERE model_version IS DISTINCT FROM 'emulator'
    GROUP BY 1, 2, 3, 4, 5, 6
    HAVING sum(detections) > 0
) AS found
JOIN (
    SELECT
        detector, detector_version, model_version, date_trunc('week', day::timestamp)::date AS week,
        sum(runs - failed_runs) AS runs
    FROM run_counts
    GROUP BY 1, 2, 3, 4
    HAVING sum(runs - failed_runs) > 0
) AS made
    ON made.week = found.week
    AND made.detector = found.detector
    AND made.detector_version = found.detector_version
    AND made.model_version IS NOT DISTINCT FROM found.model_version;

COMMENT ON VIEW drift IS
    'How often, and with what confidence, each model found each label in each week. A change of the '
    'model or of the images shows here';

CREATE VIEW detector_versions AS
SELECT
    made.detector, made.detector_version, made.fingerprint, made.model_version,
    configured.options, made.runs, made.failed_runs, made.detections, made.first_day,
    made.last_day,
    ARRAY(
        SELECT used.pool FROM configurations_in_use AS used
        WHERE used.detector = made.detector
            AND used.detector_version = made.detector_version
            AND used.fingerprint = made.fingerprint
        ORDER BY used.pool
    ) AS pools
FROM (
    SELECT
        detector, detector_version, fingerprint, model_version, sum(runs)::bigint AS runs,
        sum(failed_runs)::bigint AS failed_runs, sum(detections)::bigint AS detections,
        min(day) AS first_day, max(day) AS last_day
    FROM (
        SELECT
            day, min(detector) AS detector, min(detector_version) AS detector_version,
            min(fingerprint) AS fingerprint, min(model_version) AS model_version,
            sum(runs) AS runs, sum(failed_runs) AS failed_runs, sum(detections) AS detections
        FROM run_counts
        GROUP BY day, series
        HAVING sum(runs) > 0
    ) AS daily
    GROUP BY detector, detector_version, fingerprint, model_version
) AS made
LEFT JOIN detector_configurations AS configured
    ON configured.detector = made.detector
    AND configured.detector_version = made.detector_version
    AND configured.fingerprint = made.fingerprint;

COMMENT ON VIEW detector_versions IS
    'Every detector, version, set of options and model version that made runs, and when';

-- Boxes match if each is the other's best and their IoU is 0.5 or more, as in PASCAL VOC. A run whose
-- detections were dropped with their month disagrees with none.
CREATE VIEW detector_agreement AS
SELECT
    a.image_id, a.bucket, a.key, a.version, a.s3_uri, a.detector AS detector_a,
    b.detector AS detector_b, said.label, said.detections_a, said.detections_b, said.boxes_a,
    said.boxes_b, coalesce(matched.boxes, 0) AS matched_boxes, matched.mean_iou,
    CASE
        WHEN said.detections_b = 0 THEN 'only a'
        WHEN said.detections_a = 0 THEN 'only b'
        ELSE 'both'
    END AS found_by
FROM latest_runs AS a
JOIN latest_runs AS b ON b.image_id = a.image_id AND b.detector > a.detector
CROSS JOIN LATERAL (
    SELECT
        lower(label) AS label,
        count(*) FILTER (WHERE run_id = a.run_id) AS detections_a,
        count(*) FILTER (WHERE run_id = b.run_id) AS detections_b,
        count(box_left) FILTER (WHERE run_id = a.run_id) AS boxes_a,
        count(box_left) FILTER (WHERE run_id = b.run_id) AS boxes_b,
        sum(count(*) FILTER (WHERE run_id = a.run_id)) OVER () AS kept_a,
        sum(count(*) FILTER (WHERE run_id = b.run_id)) OVER () AS kept_b
    FROM detections
    WHERE (run_id = a.run_id AND detected_at = a.started_at)
        OR (run_id = b.run_id AND detected_at = b.started_at)
    GROUP BY lower(label)
) AS said
LEFT JOIN LATERAL (
    SELECT count(*) AS boxes, avg(iou) AS mean_iou
    FROM (
        SELECT
            iou(one.box, other.box) AS iou,
            row_number() OVER (
                PARTITION BY one.ordinal ORDER BY iou(one.box, other.box) DESC, other.ordinal
            ) AS place_of_other,
            row_number() OVER (
                PARTITION BY other.ordinal ORDER BY iou(one.box, other.box) DESC, one.ordinal
            ) AS place_of_one
        FROM detection_history AS one
        JOIN detection_history AS other ON lower(other.label) = lower(one.label)
        WHERE one.run_id = a.run_id AND one.detected_at = a.started_at
            AND other.run_id = b.run_id AND other.detected_at = b.started_at
            AND lower(one.label) = said.label
            AND iou(one.box, other.box) >= 0.5
    ) AS pair
    WHERE place_of_other = 1 AND place_of_one = 1
) AS matched ON said.boxes_a > 0 AND said.boxes_b > 0
WHERE (said.kept_a > 0 OR a.detection_count = 0) AND (said.kept_b > 0 OR b.detection_count = 0);

COMMENT ON VIEW detector_agreement IS
    'Detections of two detectors in the same image, by label, and the number of boxes that match. Compares '
    'their latest runs, unless the detections were dropped; query it with conditions on the image or '
    'the detectors';

CREATE VIEW skipped_runs AS
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
    runs.saved_usd,
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

CREATE VIEW video_timeline AS
SELECT
    found.detection_id,
    found.run_id,
    found.image_id,
    found.bucket,
    found.key,
    found.version,
    found.s3_uri,
    found.detector,
    found.kind,
    found.label,
    found.confidence,
    found.start_ms,
    found.end_ms,
    found.track,
    found.box,
    found.attributes,
    found.detected_at,
    found.uploaded_at,
    videos.duration_ms AS video_ms,
    found.width_px,
    found.height_px
FROM latest_detections AS found
LEFT JOIN videos ON videos.image_id = found.image_id
WHERE found.start_ms IS NOT NULL;

COMMENT ON VIEW video_timeline IS
    'One row per appearance in a video that still exists: of each detector''s latest run, '
    'with its times. Detections of emulators are left out';

CREATE VIEW open_jobs AS
SELECT
    jobs.job_id,
    jobs.image_id,
    images.bucket,
    images.key,
    images.version,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    jobs.detector,
    jobs.detector_version,
    jobs.fingerprint,
    jobs.event_id,
    CASE
        WHEN jobs.reserved_at IS NULL THEN 'wanted'
        WHEN jobs.started_at IS NULL THEN 'starting'
        ELSE 'started'
    END AS state,
    jobs.attempt,
    jobs.wanted_at,
    jobs.started_at,
    now() - jobs.wanted_at AS age,
    jobs.hinted_at,
    jobs.look_at,
    CASE WHEN jobs.lease_until > now() THEN jobs.holder END AS worker,
    jobs.job_group,
    jobs.provider_job_id,
    jobs.expected_units,
    jobs.expected_usd,
    jobs.problem,
    images.deleted_at
FROM jobs
JOIN images ON images.image_id = jobs.image_id;

COMMENT ON VIEW open_jobs IS
    'Jobs of services that process videos: wanted (not started yet), starting (the service may have '
    'it), or started. A job''s run replaces it';

CREATE VIEW model_costs AS
SELECT
    session_id, model, detector, units, requested_at, running_at, stop_requested_at, stopped_at,
    start_reason, stop_reason,
    (units * extract(epoch FROM coalesce(stopped_at, now()) - requested_at) / 60)::numeric
        AS unit_minutes,
    (units * extract(epoch FROM coalesce(stopped_at, now()) - requested_at) / 60)::numeric
        * usd_per_unit_minute AS price_usd
FROM model_sessions;

COMMENT ON VIEW model_costs IS
    'Inference-unit minutes and cost of each session in which a model was hosted';

-- The comments of columns that differ from the common ones below.
COMMENT ON COLUMN run_costs.runs IS 'How many runs, including failed ones';
COMMENT ON COLUMN run_costs.saved_usd IS
    'Savings of skips in US dollars: for each the price of one billed unit at that time. An '
    'estimate, because a call can bill several units or none';
COMMENT ON COLUMN open_jobs.started_at IS 'When the service was seen to have it; null before';
COMMENT ON COLUMN skipped_runs.event_id IS 'The event that the route decided about, plus /skipped';
COMMENT ON COLUMN detector_agreement.label IS 'The label, in lower case';
COMMENT ON COLUMN image_labels.labels IS
    'Names of the findings; empty if there are none, or none since their month was dropped';

DO $$
DECLARE
    view_column record;
BEGIN
    FOR view_column IN
        SELECT v.relname AS view_name, a.attname AS column_name, common.comment
        FROM (VALUES
            ('detection_id', 'The detection''s row number'),
            ('run_id', 'The run''s row number'),
            ('image_id', 'image_id(bucket, key, version)'),
            ('bucket', 'The S3 bucket''s name'),
            ('key', 'The S3 object''s key, decoded'),
            ('version', 'The S3 version id, or the ETag where the bucket is unversioned'),
            ('s3_uri', 's3://bucket/key; the same for all versions of the object'),
            ('detector', 'The detector''s name'),
            ('detector_version', 'The detector''s version'),
            ('fingerprint', 'Digest of the detector''s options and of the model they name'),
            ('model_version', 'The model''s version as the detector reports it; emulator: the findings '
                'are invented'),
            ('event_id', 'Cause of the attempt: the S3 event''s sequencer and time, or the id of '
                'a replay'),
            ('error_code', 'Why it failed, for programs'),
            ('error_message', 'Why it failed, for people'),
            ('retryable', 'Whether another attempt at the same image can end differently'),
            ('started_at', 'When the detector was called'),
            ('ordinal', 'Position in the detector''s answer, from 0'),
            ('kind', 'Kind of the finding: label, face, text, …'),
            ('label', 'Name of the finding'),
            ('confidence', 'How sure the detector is, 0 to 1'),
            ('box_left', 'Left edge of the bounding box as a ratio of the displayed image''s '
                'width; may be outside 0 to 1; null if the detector reports no place'),
            ('box_top', 'Top edge as a ratio of the displayed image''s height; may be outside '
                '0 to 1'),
            ('box_width', 'Width as a ratio of the displayed image''s width'),
            ('box_height', 'Height as a ratio of the displayed image''s height'),
            ('attributes', 'Everything else that the detector returned'),
            ('detected_at', 'When the detector was called'),
            ('uploaded_at', 'When S3 first created the image (event time)'),
            ('deleted_at', 'When the image was removed or found missing; null while it exists'),
            ('duration_ms', 'How long it took, in milliseconds'),
            ('detection_count', 'How many detections it made; 0 means that it found nothing'),
            ('billed_units', 'Units billed by the provider'),
            ('price_usd', 'The cost, in US dollars'),
            ('box', 'The bounding box as Postgres'' own type, in ratios of the displayed image: '
                'iou(a.box, b.box), box_area(box); null if the detector reports no place'),
            ('width_px', 'The image''s width in pixels as displayed; null if not known'),
            ('height_px', 'The image''s height in pixels as displayed; null if not known'),
            ('box_width_px', 'The box''s width in pixels; null where box or size is not known'),
            ('box_height_px', 'The box''s height in pixels; null where box or size is not known'),
            ('detectors', 'Names of the detectors that ran successfully'),
            ('labels', 'Names of the findings; empty if there are none'),
            ('confidences', 'Each label with its highest confidence: confidences ->> ''Cat'''),
            ('day', 'The day in UTC on which the runs started'),
            ('week', 'The Monday of the week in UTC in which the runs started'),
            ('detections', 'How many detections'),
            ('mean_confidence', 'Their mean confidence, 0 to 1, with six digits each'),
            ('runs', 'How many runs; in drift, all successful ones'),
            ('failed_runs', 'How many of them failed'),
            ('detections_per_run', 'How often the label was found in a run, on average'),
            ('options', 'The detector''s options, with secrets masked; null if no worker '
                'recorded them'),
            ('in_use', 'Whether a pool uses these options'),
            ('pools', 'The queues of the pools that use these options; empty if none does'),
            ('first_day', 'The day in UTC on which the first of them started'),
            ('last_day', 'The day in UTC on which the last of them started'),
            ('detector_a', 'One detector''s name, the first in alphabetical order'),
            ('detector_b', 'The other detector''s name'),
            ('detections_a', 'How often a found the label in the image'),
            ('detections_b', 'How often b found the label in the image'),
            ('boxes_a', 'How many of a''s detections have a box'),
            ('boxes_b', 'How many of b''s detections have a box'),
            ('matched_boxes', 'How many boxes match one to one with an IoU of 0.5 or more'),
            ('mean_iou', 'The mean IoU of the matched boxes; null if there are none'),
            ('found_by', 'both, only a, or only b'),
            ('truncated', 'Whether the file ends before its picture does, and the detector looked at '
                'what is there'),
            ('size_bytes', 'The object''s size in bytes; null if not known'),
            ('reason_code', 'Which condition did not hold, for programs'),
            ('reason', 'Which condition did not hold, for people'),
            ('skipped_at', 'When the route decided'),
            ('session_id', 'The session''s row number'),
            ('model', 'The provider''s name for the model'),
            ('units', 'Inference units'),
            ('requested_at', 'When the start was requested'),
            ('running_at', 'When it was first seen running'),
            ('stop_requested_at', 'When the stop was requested'),
            ('stopped_at', 'When it was seen stopped; null until then'),
            ('start_reason', 'Why it was started'),
            ('stop_reason', 'Why it was stopped, or ended'),
            ('unit_minutes', 'Inference-unit minutes from the request to the end: never less '
                'than the provider bills'),
            ('skipped_runs', 'How many images a route kept from the detector'),
            ('start_ms', 'In a video, when it appears, in milliseconds from the first frame; null in '
                'an image'),
            ('end_ms', 'In a video, when it is last seen; equal to start_ms for a single moment'),
            ('track', 'In a video, the number of the object: a hint that appearances of one run with '
                'the same number show the same object; null if the detector reports none'),
            ('video_ms', 'The video''s duration in milliseconds; null if not known'),
            ('job_id', 'The job''s row number'),
            ('state', 'wanted (not started yet), starting (the service may have it) or started'),
            ('attempt', 'Which attempt at the job it is, from 1'),
            ('wanted_at', 'When it was asked for'),
            ('age', 'How long ago that was'),
            ('hinted_at', 'When the service last sent a message about it; null if it never did'),
            ('look_at', 'When a worker starts it or asks for its result'),
            ('worker', 'The worker that is busy with it; null if none is'),
            ('job_group', 'Jobs of one group are counted together against the service''s limit'),
            ('provider_job_id', 'The service''s id of the job; null until it is started'),
            ('expected_units', 'Units that the provider will bill, by an estimate; null if not '
                'known'),
            ('expected_usd', 'Their expected price in US dollars; null if not known'),
            ('problem', 'Why the last attempt or look led to nothing; null if it did'),
            ('saved_usd', 'Price of the billed unit that was saved, in US dollars')
        ) AS common (column_name, comment)
        JOIN pg_attribute AS a ON a.attname = common.column_name
        JOIN pg_class AS v ON v.oid = a.attrelid
        WHERE v.relkind = 'v' AND v.relnamespace = current_schema()::regnamespace
            AND col_description(v.oid, a.attnum) IS NULL
    LOOP
        EXECUTE format(
            'COMMENT ON COLUMN %I.%I IS %L',
            view_column.view_name, view_column.column_name, view_column.comment
        );
    END LOOP;
END $$;
