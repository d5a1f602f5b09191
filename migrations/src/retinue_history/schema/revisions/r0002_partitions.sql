-- The swap: detections becomes a partitioned table, and what it was becomes its first partition as
-- it is. No row is read or written, since constraints and indexes were prepared and checked before;
-- it takes milliseconds once it has its locks.

-- In the order in which writers take them, so that nobody deadlocks.
LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE detections IN ACCESS EXCLUSIVE MODE;

ALTER TABLE detections RENAME TO detections_before;
ALTER TABLE detections_before
    DROP CONSTRAINT pk_detections,
    DROP CONSTRAINT uq_detections_run_id_ordinal,
    ADD CONSTRAINT pk_detections_before PRIMARY KEY USING INDEX pk_detections_before,
    ADD CONSTRAINT uq_detections_before UNIQUE USING INDEX uq_detections_before;
ALTER INDEX ix_detections_image_id RENAME TO ix_detections_before_image_id;
ALTER INDEX ix_detections_label RENAME TO ix_detections_before_label;

-- What is there now is counted afterwards, what comes from now on by the triggers.
INSERT INTO label_counts_backlog SELECT last_value FROM detections_detection_id_seq;
ALTER TABLE detections_before ALTER COLUMN detection_id DROP IDENTITY;

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
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_detections PRIMARY KEY (detection_id, detected_at),
    CONSTRAINT uq_detections_run_id_ordinal_detected_at UNIQUE (run_id, ordinal, detected_at),
    CONSTRAINT ck_detections_ordinal CHECK (ordinal >= 0),
    CONSTRAINT ck_detections_label CHECK (octet_length(label) BETWEEN 1 AND 2048),
    CONSTRAINT ck_detections_confidence CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_detections_whole_box
        CHECK (num_nulls(box_left, box_top, box_width, box_height) IN (0, 4)),
    CONSTRAINT ck_detections_box CHECK (
        box_left > '-Infinity' AND box_left < 'Infinity'
        AND box_top > '-Infinity' AND box_top < 'Infinity'
        AND box_width >= 0 AND box_width < 'Infinity'
        AND box_height >= 0 AND box_height < 'Infinity'
    ),
    CONSTRAINT fk_detections_run_id FOREIGN KEY (run_id) REFERENCES runs (run_id) ON DELETE CASCADE
) PARTITION BY RANGE (detected_at);

CREATE INDEX ix_detections_image_id
    ON detections (image_id);
CREATE INDEX ix_detections_label
    ON detections (label, detected_at DESC) INCLUDE (confidence, image_id);
CREATE INDEX ix_detections_text
    ON detections USING gin (label gin_trgm_ops) WHERE kind = 'text';

SELECT setval('detections_detection_id_seq', greatest(up_to_detection_id, 1))
FROM label_counts_backlog;

-- The constraint ck_detections_before says up to when; Postgres finds it and need not look.
DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE detections ATTACH PARTITION detections_before FOR VALUES FROM (MINVALUE) '
        'TO (%L)',
        (
            SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''')::timestamptz
            FROM pg_constraint
            WHERE conrelid = 'detections_before'::regclass AND conname = 'ck_detections_before'
        )
    );
    ALTER TABLE detections_before DROP CONSTRAINT ck_detections_before;
END $$;

CREATE TABLE detections_other PARTITION OF detections DEFAULT;

CREATE TRIGGER count_added AFTER INSERT ON detections
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_labels();
CREATE TRIGGER count_removed AFTER DELETE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_away AFTER UPDATE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_to AFTER UPDATE ON detections
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_labels();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON detections
    FOR EACH STATEMENT EXECUTE FUNCTION forget_label_counts();
CREATE TRIGGER delete_detections BEFORE DELETE ON runs
    FOR EACH ROW EXECUTE FUNCTION delete_detections_of_run();
CREATE TRIGGER refuse_change
    BEFORE UPDATE OF run_id, image_id, detector, detector_version, model_version, started_at ON runs
    FOR EACH ROW
    WHEN (
        (OLD.run_id, OLD.image_id, OLD.detector, OLD.detector_version, OLD.started_at)
            IS DISTINCT FROM
            (NEW.run_id, NEW.image_id, NEW.detector, NEW.detector_version, NEW.started_at)
        OR OLD.model_version IS DISTINCT FROM NEW.model_version
    )
    EXECUTE FUNCTION refuse_changed_run();

GRANT SELECT, INSERT, UPDATE ON detections TO retinue_writer;
GRANT USAGE ON SEQUENCE detections_detection_id_seq TO retinue_writer;
GRANT SELECT ON detections TO retinue_reader;
