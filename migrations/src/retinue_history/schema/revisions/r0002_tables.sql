-- Words are searched by parts of them. A trusted extension: the owner of the database may create it,
-- and RDS, Debian and the embedded server all ship it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE detector_configurations (
    detector TEXT NOT NULL,
    detector_version TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    options JSONB NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_detector_configurations PRIMARY KEY (detector, detector_version, fingerprint)
);

COMMENT ON TABLE detector_configurations IS
    'Which options a fingerprint stands for: written by workers when they start';
COMMENT ON COLUMN detector_configurations.detector IS
    'The detector''s name';
COMMENT ON COLUMN detector_configurations.detector_version IS
    'The detector''s version';
COMMENT ON COLUMN detector_configurations.fingerprint IS
    'Digest of the detector''s options and of the model they name, as in runs';
COMMENT ON COLUMN detector_configurations.options IS
    'The detector''s options; secrets are asterisks';
COMMENT ON COLUMN detector_configurations.first_seen_at IS
    'When a worker first started with them';

-- Two workers that count the same label at once would wait for each other's commit, were there one
-- row to count in. So each counts in a row of its own (by shard), and readers add them up.
-- The columns that change are in no index: updates stay on their page (HOT), given room.
CREATE TABLE label_counts (
    day DATE NOT NULL,
    series UUID NOT NULL,
    shard INTEGER NOT NULL,
    detector TEXT NOT NULL,
    detector_version TEXT NOT NULL,
    model_version TEXT,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    detections BIGINT NOT NULL,
    confidence_ppm BIGINT NOT NULL,
    CONSTRAINT pk_label_counts PRIMARY KEY (day, series, shard)
) WITH (fillfactor = 70);

CREATE INDEX ix_label_counts_label_day
    ON label_counts (label, day);

COMMENT ON TABLE label_counts IS
    'Detections counted by day and label, by triggers of detections; read it through '
    'label_counts_daily';
COMMENT ON COLUMN label_counts.day IS
    'The day in UTC on which the runs started';
COMMENT ON COLUMN label_counts.series IS
    'label_series() of the five texts';
COMMENT ON COLUMN label_counts.shard IS
    'One of several rows that are to be added up';
COMMENT ON COLUMN label_counts.detector IS
    'The detector''s name';
COMMENT ON COLUMN label_counts.detector_version IS
    'The detector''s version';
COMMENT ON COLUMN label_counts.model_version IS
    'The model''s version as the detector reported it';
COMMENT ON COLUMN label_counts.kind IS
    'What sort of finding: label, face, text, …';
COMMENT ON COLUMN label_counts.label IS
    'What was found; empty for texts that were read (kind text), which are counted together';
COMMENT ON COLUMN label_counts.detections IS
    'How many, of this shard; less than 0 where another shard counted what this one took away';
COMMENT ON COLUMN label_counts.confidence_ppm IS
    'The sum of their confidences in millionths: integers add up exactly in any order';

CREATE TABLE label_counts_backlog (
    up_to_detection_id BIGINT NOT NULL
);

COMMENT ON TABLE label_counts_backlog IS
    'Detections from before label_counts that are not in it yet. Has a row while an upgrade counts '
    'them, and none otherwise';
COMMENT ON COLUMN label_counts_backlog.up_to_detection_id IS
    'The last of them';

CREATE TABLE labels (
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    CONSTRAINT pk_labels PRIMARY KEY (label, kind)
);

CREATE INDEX ix_labels_prefix
    ON labels (lower(label) text_pattern_ops);

CREATE INDEX ix_labels_trigrams
    ON labels USING gin (label gin_trgm_ops);

COMMENT ON TABLE labels IS
    'Every label ever found, up to 1,000 bytes long, for searching by a part or a prefix. Texts that '
    'were read (kind text) are searched in detection_history';
COMMENT ON COLUMN labels.label IS
    'What was found';
COMMENT ON COLUMN labels.kind IS
    'What sort of finding: label, face, moderation, …';

CREATE TABLE label_parents (
    label TEXT NOT NULL,
    parent TEXT NOT NULL,
    CONSTRAINT pk_label_parents PRIMARY KEY (label, parent)
);

CREATE INDEX ix_label_parents_parent
    ON label_parents (lower(parent));

COMMENT ON TABLE label_parents IS
    'Which label is a kind of which, as the attributes of detections told; label_is() reads it';
COMMENT ON COLUMN label_parents.label IS
    'The narrower label, such as Car';
COMMENT ON COLUMN label_parents.parent IS
    'The wider label, such as Vehicle';
