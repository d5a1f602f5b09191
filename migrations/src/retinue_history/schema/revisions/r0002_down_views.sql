-- What revision 0001 granted and said, where this one had put something else in its place.
GRANT SELECT ON detection_history, latest_detections, failed_runs, run_costs
    TO retinue_writer, retinue_reader;

COMMENT ON TABLE detections IS
    'One row per finding of a run';
COMMENT ON COLUMN detections.detected_at IS
    'The run''s started_at, repeated for its index';
