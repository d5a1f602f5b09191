-- Where nothing was recorded yet, months are kept apart from the beginning.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM detections_before) THEN
        DROP TABLE detections_before;
        DELETE FROM label_counts_backlog;
    END IF;
END $$;

SELECT add_detections_months(3);
