CREATE TABLE images (
    image_id UUID NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    versioned BOOLEAN NOT NULL,
    etag TEXT,
    size_bytes BIGINT,
    width_px INTEGER,
    height_px INTEGER,
    uploaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_uploaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sequencer TEXT,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_images PRIMARY KEY (image_id),
    CONSTRAINT ck_images_image_id CHECK (image_id = image_id(bucket, key, version)),
    CONSTRAINT ck_images_version CHECK (version <> ''),
    CONSTRAINT ck_images_size_bytes CHECK (size_bytes >= 0),
    CONSTRAINT ck_images_both_sides CHECK (num_nulls(width_px, height_px) IN (0, 2)),
    CONSTRAINT ck_images_sides_px CHECK (width_px > 0 AND height_px > 0)
);

CREATE INDEX ix_images_bucket_key
    ON images (bucket, key);

COMMENT ON TABLE images IS
    'One row per image: one version of one S3 object';
COMMENT ON COLUMN images.image_id IS
    'image_id(bucket, key, version): computable by anyone from the S3 identity';
COMMENT ON COLUMN images.bucket IS
    'The S3 bucket''s name';
COMMENT ON COLUMN images.key IS
    'The S3 object''s key, decoded';
COMMENT ON COLUMN images.version IS
    'The S3 version id, or the ETag where the bucket is unversioned';
COMMENT ON COLUMN images.versioned IS
    'Whether version is an S3 version id (not an ETag)';
COMMENT ON COLUMN images.etag IS
    'The object''s ETag without quotes; null if not known';
COMMENT ON COLUMN images.size_bytes IS
    'The object''s size in bytes; null if not known';
COMMENT ON COLUMN images.width_px IS
    'Width in pixels as displayed, after EXIF orientation; null until a detector decoded it';
COMMENT ON COLUMN images.height_px IS
    'Height in pixels as displayed, after EXIF orientation; null until a detector decoded it';
COMMENT ON COLUMN images.uploaded_at IS
    'When S3 first created this version (event time)';
COMMENT ON COLUMN images.last_uploaded_at IS
    'When S3 last created it: later than uploaded_at if the same bytes came again into an '
    'unversioned bucket';
COMMENT ON COLUMN images.sequencer IS
    'The highest S3 sequencer seen for this image''s creation, by sequencer_rank()';
COMMENT ON COLUMN images.first_seen_at IS
    'When this row was written';
COMMENT ON COLUMN images.deleted_at IS
    'When the object was removed, or found missing; null while it exists. Follows from the '
    'removals, whatever order events arrive in';

CREATE TABLE removals (
    removal_id BIGINT GENERATED ALWAYS AS IDENTITY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT,
    sequencer TEXT,
    removed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_removals PRIMARY KEY (removal_id),
    CONSTRAINT uq_removals_bucket_key_version_sequencer_removed_at
        UNIQUE NULLS NOT DISTINCT (bucket, key, version, sequencer, removed_at)
);

COMMENT ON TABLE removals IS
    'Every removal that S3 told of or a worker ran into, kept because it may arrive before '
    'the creation it undoes';
COMMENT ON COLUMN removals.removal_id IS
    'Row number';
COMMENT ON COLUMN removals.bucket IS
    'The S3 bucket''s name';
COMMENT ON COLUMN removals.key IS
    'The S3 object''s key, decoded';
COMMENT ON COLUMN removals.version IS
    'The version that is gone, as in images.version; null: all created before';
COMMENT ON COLUMN removals.sequencer IS
    'The S3 sequencer of the removal, or of the event whose object was found missing; null if'
    ' there was none, and the time decides';
COMMENT ON COLUMN removals.removed_at IS
    'When S3 removed the object (event time), or when it was found missing';
COMMENT ON COLUMN removals.recorded_at IS
    'When this row was written';

CREATE TABLE runs (
    run_id BIGINT GENERATED ALWAYS AS IDENTITY,
    image_id UUID NOT NULL,
    detector TEXT NOT NULL,
    detector_version TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    event_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    final BOOLEAN NOT NULL,
    error_code TEXT,
    error_message TEXT,
    model_version TEXT,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms double precision NOT NULL,
    detection_count INTEGER NOT NULL,
    billed_units NUMERIC NOT NULL,
    price_usd NUMERIC NOT NULL,
    raw_response JSONB,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (run_id),
    CONSTRAINT uq_runs_image_id_detector_detector_version_fingerprint_event_id
        UNIQUE (image_id, detector, detector_version, fingerprint, event_id),
    CONSTRAINT ck_runs_outcome CHECK (outcome IN ('succeeded', 'failed')),
    CONSTRAINT ck_runs_success_is_final CHECK (final OR outcome = 'failed'),
    CONSTRAINT ck_runs_error_when_failed
        CHECK (num_nulls(error_code, error_message) = CASE outcome WHEN 'failed' THEN 0 ELSE 2 END),
    CONSTRAINT ck_runs_duration_ms CHECK (duration_ms >= 0 AND duration_ms < 'Infinity'),
    CONSTRAINT ck_runs_detection_count CHECK (detection_count >= 0),
    CONSTRAINT ck_runs_billed_units CHECK (billed_units >= 0 AND billed_units < 'Infinity'),
    CONSTRAINT ck_runs_price_usd CHECK (price_usd >= 0 AND price_usd < 'Infinity'),
    CONSTRAINT fk_runs_image_id FOREIGN KEY(image_id) REFERENCES images (image_id)
);

CREATE INDEX ix_runs_failed
    ON runs (started_at) WHERE outcome = 'failed';

CREATE INDEX ix_runs_latest
    ON runs (image_id, detector, started_at DESC, run_id DESC) WHERE outcome = 'succeeded';

CREATE UNIQUE INDEX uq_runs_success
    ON runs (image_id, detector, detector_version, fingerprint) WHERE outcome = 'succeeded';

COMMENT ON TABLE runs IS
    'One row per attempt of one detector at one image. A run key (image, detector, detector '
    'version, fingerprint) succeeds once; failed attempts stay';
COMMENT ON COLUMN runs.run_id IS
    'Row number';
COMMENT ON COLUMN runs.image_id IS
    'The image that the detector was applied to';
COMMENT ON COLUMN runs.detector IS
    'The detector''s name';
COMMENT ON COLUMN runs.detector_version IS
    'The detector''s version';
COMMENT ON COLUMN runs.fingerprint IS
    'Digest of the detector''s options and of the model they name';
COMMENT ON COLUMN runs.event_id IS
    'What caused this attempt: the S3 event''s sequencer, or the id of a replay';
COMMENT ON COLUMN runs.outcome IS
    'succeeded or failed; found nothing is succeeded';
COMMENT ON COLUMN runs.final IS
    'Whether trying again on the same image cannot change the outcome: a success, or the '
    'image itself is bad';
COMMENT ON COLUMN runs.error_code IS
    'Why it failed, for programs; null if it succeeded';
COMMENT ON COLUMN runs.error_message IS
    'Why it failed, for people; null if it succeeded';
COMMENT ON COLUMN runs.model_version IS
    'The model''s version as the detector reports it';
COMMENT ON COLUMN runs.started_at IS
    'When the detector was called';
COMMENT ON COLUMN runs.duration_ms IS
    'How long it took, in milliseconds';
COMMENT ON COLUMN runs.detection_count IS
    'How many detections it made';
COMMENT ON COLUMN runs.billed_units IS
    'Units that the provider bills for it';
COMMENT ON COLUMN runs.price_usd IS
    'What they cost, in US dollars';
COMMENT ON COLUMN runs.raw_response IS
    'The detector''s unprocessed answer, where it is kept';
COMMENT ON COLUMN runs.recorded_at IS
    'When this row was written';

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
    CONSTRAINT pk_detections PRIMARY KEY (detection_id),
    CONSTRAINT uq_detections_run_id_ordinal UNIQUE (run_id, ordinal),
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
    CONSTRAINT fk_detections_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id) ON DELETE CASCADE
);

CREATE INDEX ix_detections_image_id
    ON detections (image_id);

CREATE INDEX ix_detections_label
    ON detections (label, detected_at DESC) INCLUDE (confidence, image_id);

COMMENT ON TABLE detections IS
    'One row per finding of a run';
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
    'The run''s started_at, repeated for its index';
