-- Counts what was recorded before the triggers were there, while writers go on. The row's lock
-- keeps deletions waiting (see count_removed_labels); each statement sees what was committed before
-- it began.
SELECT up_to_detection_id FROM label_counts_backlog FOR UPDATE;

INSERT INTO label_counts AS known (
    day, series, shard, detector, detector_version, model_version, kind, label,
    detections, confidence_ppm
)
SELECT
    day, label_series(kind, label, detector, detector_version, model_version),
    0, detector, detector_version, model_version, kind, label, detections, confidence_ppm
FROM (
    SELECT
        (detections.detected_at AT TIME ZONE 'UTC')::date AS day, runs.detector,
        runs.detector_version, runs.model_version, detections.kind,
        CASE WHEN detections.kind = 'text' THEN '' ELSE detections.label END AS label,
        count(*) AS detections,
        sum((detections.confidence * 1000000)::bigint)::bigint AS confidence_ppm
    FROM detections
    JOIN runs ON runs.run_id = detections.run_id
    WHERE detections.detection_id <= (SELECT up_to_detection_id FROM label_counts_backlog)
    GROUP BY 1, 2, 3, 4, 5, 6
) AS grouped
ORDER BY 1, 2
ON CONFLICT (day, series, shard) DO UPDATE SET
    detections = known.detections + excluded.detections,
    confidence_ppm = known.confidence_ppm + excluded.confidence_ppm;

INSERT INTO labels (label, kind)
SELECT DISTINCT label, kind
FROM label_counts
WHERE kind <> 'text' AND octet_length(label) + octet_length(kind) <= 1000
ORDER BY label, kind
ON CONFLICT DO NOTHING;

INSERT INTO label_parents (label, parent)
SELECT DISTINCT label, parent
FROM detections, label_parents_in(attributes) AS parent
WHERE attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
    AND octet_length(label) <= 1000
ORDER BY label, parent
ON CONFLICT DO NOTHING;

DELETE FROM label_counts_backlog;
