LOCK TABLE runs, detections IN ACCESS EXCLUSIVE MODE;

DROP VIEW
    detector_agreement, detector_versions, drift, label_counts_daily, image_labels, latest_runs,
    latest_detections, detection_history, failed_runs, run_costs;
DROP TRIGGER refuse_change ON runs;
DROP TRIGGER delete_detections ON runs;

ALTER TABLE detections RENAME TO detections_by_month;
ALTER SEQUENCE detections_detection_id_seq RENAME TO detections_by_month_detection_id_seq;

CREATE TABLE detections (
    detection_id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id BIGINT NOT NULL,
    image_id UUID NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    confidence double precision NOT NULL,
    box_left double precision,
    box_top double precision,
    box_width double precision,
    box_height double precision,
    attributes JSONB DEFAULT '{}' NOT NULL,
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL
);

INSERT INTO detections OVERRIDING SYSTEM VALUE
SELECT
    detection_id, run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
    box_height, attributes, detected_at
FROM detections_by_month
ORDER BY detection_id;

SELECT setval('detections_detection_id_seq', last_value, is_called)
FROM detections_by_month_detection_id_seq;

DROP TABLE detections_by_month;

ALTER TABLE detections
    ADD CONSTRAINT pk_detections PRIMARY KEY (detection_id),
    ADD CONSTRAINT uq_detections_run_id_ordinal UNIQUE (run_id, ordinal),
    ADD CONSTRAINT ck_detections_ordinal CHECK (ordinal >= 0),
    ADD CONSTRAINT ck_detections_label CHECK (octet_length(label) BETWEEN 1 AND 2048),
    ADD CONSTRAINT ck_detections_confidence CHECK (confidence BETWEEN 0 AND 1),
    ADD CONSTRAINT ck_detections_whole_box
        CHECK (num_nulls(box_left, box_top, box_width, box_height) IN (0, 4)),
    ADD CONSTRAINT ck_detections_box CHECK (
        box_left > '-Infinity' AND box_left < 'Infinity'
        AND box_top > '-Infinity' AND box_top < 'Infinity'
        AND box_width >= 0 AND box_width < 'Infinity'
        AND box_height >= 0 AND box_height < 'Infinity'
    ),
    ADD CONSTRAINT fk_detections_run_id
        FOREIGN KEY (run_id) REFERENCES runs (run_id) ON DELETE CASCADE;
CREATE INDEX ix_detections_image_id
    ON detections (image_id);
CREATE INDEX ix_detections_label
    ON detections (label, detected_at DESC) INCLUDE (confidence, image_id);
DROP INDEX ix_images_uploaded_at, ix_images_deleted_at, ix_runs_raw_response;

DROP FUNCTION label_is(text, text);
DROP FUNCTION label_is(text);
DROP TABLE label_counts, label_counts_backlog, labels, label_parents, detector_configurations;
DROP FUNCTION
    add_detections_months(integer), missing_detections_months(integer), detections_partitions(),
    count_added_labels(), count_removed_labels(), forget_label_counts(), delete_detections_of_run(),
    refuse_changed_run(), label_series(text, text, text, text, text), label_parents_in(jsonb),
    iou(box, box), box_area(box);

GRANT SELECT, INSERT, UPDATE ON detections TO retinue_writer;
GRANT USAGE ON SEQUENCE detections_detection_id_seq TO retinue_writer;
GRANT SELECT ON detections TO retinue_reader;

DO $$
BEGIN
    DROP EXTENSION pg_trgm;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
END $$;
