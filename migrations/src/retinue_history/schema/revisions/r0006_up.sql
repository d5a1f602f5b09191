CREATE TABLE erased_images (
    digest BYTEA NOT NULL,
    prefix_length INTEGER,
    erased_until TIMESTAMP WITH TIME ZONE NOT NULL,
    erasure_id BIGINT NOT NULL,
    CONSTRAINT pk_erased_images PRIMARY KEY (digest),
    CONSTRAINT fk_erased_images_erasure_id FOREIGN KEY(erasure_id)
        REFERENCES erasures (erasure_id),
    CONSTRAINT ck_erased_images_digest CHECK (octet_length(digest) = 32),
    CONSTRAINT ck_erased_images_prefix_length CHECK (prefix_length >= 0)
);

CREATE INDEX ix_erased_images_prefix_length
    ON erased_images (prefix_length) WHERE prefix_length IS NOT NULL;

COMMENT ON TABLE erased_images IS
    'Which images may not be recorded any more: neither a worker that was looking at one while it was '
    'forgotten, nor a replay, nor a backfill brings it back';
COMMENT ON COLUMN erased_images.digest IS
    'erasure_digest() of image:id, object:s3://bucket/key, key:key or prefix:s3://bucket/prefix';
COMMENT ON COLUMN erased_images.prefix_length IS
    'How many characters of a key the prefix has; null for anything else';
COMMENT ON COLUMN erased_images.erased_until IS
    'When it was last asked for: what was uploaded later is new, and is recorded';
COMMENT ON COLUMN erased_images.erasure_id IS
    'The erasure that forbids it';

CREATE FUNCTION erased_until(image_bucket text, image_key text, image uuid) RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN (
        SELECT max(erased.erased_until)
        FROM erased_images AS erased
        WHERE erased.digest = ANY (
            ARRAY[
                erasure_digest('image:' || image::text),
                erasure_digest('object:s3://' || image_bucket || '/' || image_key),
                erasure_digest('key:' || image_key)
            ] || ARRAY(
                SELECT erasure_digest(
                    'prefix:s3://' || image_bucket || '/' || left(image_key, told.prefix_length)
                )
                FROM (
                    SELECT DISTINCT prefix_length FROM erased_images
                    WHERE prefix_length IS NOT NULL
                ) AS told
                WHERE told.prefix_length <= char_length(image_key)
            )
        )
    );

COMMENT ON FUNCTION erased_until(text, text, uuid) IS
    'Until when uploads of this image were forgotten; null if they never were';

-- These run with the owner's rights, as those of revision 0004 do, and share their lock: an erasure
-- forbids, commits, and takes that lock alone for a moment. Whatever was written by those who did not
-- see it is committed by then, and is found by the deletion that follows.
CREATE FUNCTION await_erasures() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(5928237158326682882);
    RETURN NULL;
END $$;

COMMENT ON FUNCTION await_erasures() IS
    'Lets an erasure wait until this transaction has ended';

CREATE FUNCTION withhold_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    erased timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN NEW; -- the usual case, made quick
    END IF;
    erased := erased_until(NEW.bucket, NEW.key, NEW.image_id);
    IF NEW.last_uploaded_at <= erased THEN
        RETURN NULL;
    END IF;
    -- The same bytes came again: of the upload before, nothing is told.
    IF NEW.uploaded_at <= erased THEN
        NEW.uploaded_at := NEW.last_uploaded_at;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_erased_image() IS
    'Keeps forgotten images out of images';

CREATE FUNCTION withhold_run_of_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    seen images;
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN NEW;
    END IF;
    SELECT * INTO seen FROM images WHERE images.image_id = NEW.image_id;
    -- Withheld a moment ago, in this transaction; or still there, and about to be deleted.
    IF NOT FOUND OR seen.last_uploaded_at <= erased_until(seen.bucket, seen.key, seen.image_id) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_run_of_erased_image() IS
    'Keeps runs of forgotten images out of runs';

CREATE FUNCTION withhold_removal_of_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_images)
        AND erased_until(
            NEW.bucket, NEW.key,
            CASE WHEN NEW.version <> '' THEN image_id(NEW.bucket, NEW.key, NEW.version) END
        ) IS NOT NULL
        -- Where the object was uploaded again, its removal is news about that.
        AND NOT EXISTS (SELECT FROM images WHERE images.bucket = NEW.bucket AND images.key = NEW.key)
    THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_removal_of_erased_image() IS
    'Keeps the names of forgotten objects out of removals, when they are removed from S3 at last';

CREATE FUNCTION forgotten_images(
    asked uuid[], asked_buckets text[], asked_keys text[], asked_uploads timestamptz[]
) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT one.image_id
    FROM unnest(asked, asked_buckets, asked_keys, asked_uploads)
        AS one (image_id, bucket, key, uploaded_at)
    WHERE one.uploaded_at <= erased_until(one.bucket, one.key, one.image_id);
END $$;

COMMENT ON FUNCTION forgotten_images(uuid[], text[], text[], timestamptz[]) IS
    'Which of these images were forgotten after these uploads: nobody need look at them';

-- A function with its owner's rights must not look for its tables where others can put some.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'withhold_erased_image()', 'withhold_run_of_erased_image()',
        'withhold_removal_of_erased_image()',
        'forgotten_images(uuid[], text[], text[], timestamptz[])'
    ] LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema()
        );
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION erased_until(text, text, uuid) FROM PUBLIC;

-- In the order in which writers take the tables' locks.
CREATE TRIGGER await_erasures BEFORE INSERT ON images
    FOR EACH STATEMENT EXECUTE FUNCTION await_erasures();
CREATE TRIGGER withhold_erased_image BEFORE INSERT ON images
    FOR EACH ROW EXECUTE FUNCTION withhold_erased_image();
CREATE TRIGGER await_erasures BEFORE INSERT ON removals
    FOR EACH STATEMENT EXECUTE FUNCTION await_erasures();
CREATE TRIGGER withhold_erased_image BEFORE INSERT ON removals
    FOR EACH ROW EXECUTE FUNCTION withhold_removal_of_erased_image();
CREATE TRIGGER await_erasures BEFORE INSERT ON runs
    FOR EACH STATEMENT EXECUTE FUNCTION await_erasures();
CREATE TRIGGER withhold_erased_image BEFORE INSERT ON runs
    FOR EACH ROW EXECUTE FUNCTION withhold_run_of_erased_image();

GRANT EXECUTE ON FUNCTION forgotten_images(uuid[], text[], text[], timestamptz[])
    TO retinue_writer;

COMMENT ON COLUMN erasures.subject_kind IS
    'What kind of thing was erased: person, external_image_id, face_id, image, object, key, prefix';
COMMENT ON COLUMN erasures.removed IS
    'How many of each: face_vectors, detections, runs, people, faces, images, removals';

-- A route's skip is no run that a detector made.
CREATE OR REPLACE VIEW detector_versions AS
SELECT
    made.detector, made.detector_version, made.fingerprint, made.model_version,
    configured.options, made.runs, made.failed_runs, made.detections, made.first_run_at,
    made.last_run_at
FROM (
    SELECT
        detector, detector_version, fingerprint, model_version, count(*) AS runs,
        count(*) FILTER (WHERE outcome = 'failed') AS failed_runs,
        sum(detection_count) AS detections, min(started_at) AS first_run_at,
        max(started_at) AS last_run_at
    FROM runs
    WHERE outcome <> 'skipped'
    GROUP BY detector, detector_version, fingerprint, model_version
) AS made
LEFT JOIN detector_configurations AS configured
    ON configured.detector = made.detector
    AND configured.detector_version = made.detector_version
    AND configured.fingerprint = made.fingerprint;
