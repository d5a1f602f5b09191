CREATE TABLE people (
    person_id BIGINT GENERATED ALWAYS AS IDENTITY,
    external_image_id TEXT NOT NULL,
    region TEXT NOT NULL,
    collection_id TEXT NOT NULL,
    name TEXT NOT NULL,
    consent TEXT NOT NULL,
    enrolled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_people PRIMARY KEY (person_id),
    CONSTRAINT uq_people_external_image_id_region_collection_id
        UNIQUE (external_image_id, region, collection_id),
    CONSTRAINT ck_people_name CHECK (name <> ''),
    CONSTRAINT ck_people_consent CHECK (consent ~ '\S')
);

COMMENT ON TABLE people IS
    'One row per person and face collection; docs/faces.md. For the owner''s eyes alone';
COMMENT ON COLUMN people.person_id IS
    'Row number';
COMMENT ON COLUMN people.external_image_id IS
    'What the person is called in the collection and in detections: derived from the name';
COMMENT ON COLUMN people.region IS
    'The collection''s AWS region';
COMMENT ON COLUMN people.collection_id IS
    'The collection''s id';
COMMENT ON COLUMN people.name IS
    'The person''s name, as the operator writes it';
COMMENT ON COLUMN people.consent IS
    'What allows us to keep this person''s face vectors: the reference given last';
COMMENT ON COLUMN people.enrolled_at IS
    'When the person was first enrolled in this collection';

CREATE TABLE faces (
    face_id TEXT NOT NULL,
    person_id BIGINT NOT NULL,
    consent TEXT NOT NULL,
    photo TEXT NOT NULL,
    model_version TEXT,
    indexed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_faces PRIMARY KEY (face_id),
    CONSTRAINT fk_faces_person_id FOREIGN KEY(person_id) REFERENCES people (person_id)
);

CREATE INDEX ix_faces_person_id ON faces (person_id);

COMMENT ON TABLE faces IS
    'One row per face vector of a person that `retinue faces` put into a collection';
COMMENT ON COLUMN faces.face_id IS
    'Amazon Rekognition''s id of the face vector';
COMMENT ON COLUMN faces.person_id IS
    'Whose face it is';
COMMENT ON COLUMN faces.consent IS
    'The consent under which this face was indexed';
COMMENT ON COLUMN faces.photo IS
    'The photo it was taken from: a file''s name, or an S3 URI';
COMMENT ON COLUMN faces.model_version IS
    'The face model''s version, as the service tells it';
COMMENT ON COLUMN faces.indexed_at IS
    'When it was indexed';

CREATE TABLE erasures (
    erasure_id BIGINT GENERATED ALWAYS AS IDENTITY,
    subject_kind TEXT NOT NULL,
    subject_digest BYTEA NOT NULL,
    removed JSONB DEFAULT '{}' NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_erasures PRIMARY KEY (erasure_id),
    CONSTRAINT ck_erasures_subject_kind CHECK (subject_kind <> ''),
    CONSTRAINT ck_erasures_subject_digest CHECK (octet_length(subject_digest) = 32),
    CONSTRAINT ck_erasures_completed_at CHECK (completed_at >= requested_at)
);

-- One at a time for a subject: whoever comes again resumes it.
CREATE UNIQUE INDEX uq_erasures_open
    ON erasures (subject_kind, subject_digest) WHERE completed_at IS NULL;

COMMENT ON TABLE erasures IS
    'What was erased on request, and that it was; holds no personal data';
COMMENT ON COLUMN erasures.erasure_id IS
    'Row number';
COMMENT ON COLUMN erasures.subject_kind IS
    'What kind of thing was erased: person, external_image_id, face_id, …';
COMMENT ON COLUMN erasures.subject_digest IS
    'erasure_digest(kind:subject): tells whether a subject that you name was erased, and no more';
COMMENT ON COLUMN erasures.removed IS
    'How many of each: face_vectors, detections, runs, people, faces, …';
COMMENT ON COLUMN erasures.requested_at IS
    'When it was begun';
COMMENT ON COLUMN erasures.completed_at IS
    'When everything was removed and that was verified; null: unfinished, ask for it again';

CREATE TABLE erased_names (
    digest BYTEA NOT NULL,
    erasure_id BIGINT NOT NULL,
    CONSTRAINT pk_erased_names PRIMARY KEY (digest),
    CONSTRAINT fk_erased_names_erasure_id FOREIGN KEY(erasure_id)
        REFERENCES erasures (erasure_id),
    CONSTRAINT ck_erased_names_digest CHECK (octet_length(digest) = 32)
);

COMMENT ON TABLE erased_names IS
    'What nothing may be recorded under any more: a worker that was looking at an image while its '
    'person was forgotten must not bring the person back';
COMMENT ON COLUMN erased_names.digest IS
    'erasure_digest() of a face id, an external image id or a name';
COMMENT ON COLUMN erased_names.erasure_id IS
    'The erasure that forbids it';

CREATE TABLE erasure_salt (
    salt BYTEA NOT NULL,
    CONSTRAINT pk_erasure_salt PRIMARY KEY (salt),
    CONSTRAINT ck_erasure_salt_salt CHECK (octet_length(salt) >= 32)
);

-- Two random UUIDs: 244 bits of the server's strong randomness, without an extension.
INSERT INTO erasure_salt (salt) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

COMMENT ON TABLE erasure_salt IS
    'One row: what keeps others from guessing the names behind the digests';
COMMENT ON COLUMN erasure_salt.salt IS
    'Random bytes, made once for this database; for the owner''s eyes alone';

ALTER TABLE runs ADD COLUMN erased_at TIMESTAMP WITH TIME ZONE;

COMMENT ON COLUMN runs.erased_at IS
    'When parts of it were last erased because they named a forgotten person; null: it is whole';

GRANT SELECT ON erasures TO retinue_reader;
