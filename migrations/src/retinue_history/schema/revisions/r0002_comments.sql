COMMENT ON TABLE detections IS
    'One row per finding of a run, in partitions by month of detected_at';
COMMENT ON COLUMN detections.detection_id IS
    'Row number';
COMMENT ON COLUMN detections.run_id IS
    'The run that made it';
COMMENT ON COLUMN detections.image_id IS
    'The image; the run''s, repeated for its index';
COMMENT ON COLUMN detections.ordinal IS
    'Position in the detector''s answer, from 0';
COMMENT ON COLUMN detections.kind IS
    'What sort of finding it is: label, face, text, …';
COMMENT ON COLUMN detections.label IS
    'What was found';
COMMENT ON COLUMN detections.confidence IS
    'How sure the detector is, 0 to 1';
COMMENT ON COLUMN detections.box_left IS
    'Left edge of the bounding box as a ratio of the displayed image''s width; may lie '
    'outside 0 to 1; null if the detector does not say where';
COMMENT ON COLUMN detections.box_top IS
    'Top edge as a ratio of the displayed image''s height; may lie outside 0 to 1';
COMMENT ON COLUMN detections.box_width IS
    'Width as a ratio of the displayed image''s width';
COMMENT ON COLUMN detections.box_height IS
    'Height as a ratio of the displayed image''s height';
COMMENT ON COLUMN detections.attributes IS
    'Whatever else the detector says about it';
COMMENT ON COLUMN detections.detected_at IS
    'The run''s started_at, repeated for its index and its partition';
