-- Erasure on request: salted digests identify erased subjects, and triggers keep them out.

-- Two random UUIDs are 244 bits of strong randomness, without an extension.
INSERT INTO erasure_salt (salt) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE FUNCTION erasure_digest(name text) RETURNS bytea
    LANGUAGE sql STABLE STRICT
    RETURN sha256((SELECT salt FROM erasure_salt) || convert_to(name, 'UTF8'));

COMMENT ON FUNCTION erasure_digest(text) IS
    'The salted digest of a name in erasures and erased_names. Only the database''s owner can '
    'look up a name, and no one can read it';

-- The triggers run with the owner's rights, because workers may not read the names of erased people. Each shares a
-- lock with all writers until its transaction ends. An erasure writes its names, commits, and then
-- takes that lock exclusively for a moment. What transactions wrote without seeing the names is
-- committed by then, and the deletion that follows finds it.
CREATE FUNCTION withhold_erased_response() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    erased text[];
BEGIN
    IF NOT coalesce(NEW.raw_response ?| ARRAY[
        'SearchFacesByImage', 'SearchFaces', 'IndexFaces', 'SearchUsersByImage', 'SearchUsers'
    ], false) THEN
        RETURN NEW;  -- no detector of known faces
    END IF;
    PERFORM share_erasure_lock();
    IF NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN NEW;  -- the usual case
    END IF;
    -- Materialized, so that each digest is computed once and looked up by the index.
    WITH named AS MATERIALIZED (
        SELECT name, erasure_digest(name) AS digest
        FROM unnest(faces_named(NEW.raw_response)) AS name
    )
    SELECT array_agg(name) INTO erased FROM named JOIN erased_names USING (digest);
    IF erased IS NOT NULL THEN
        NEW.raw_response := without_faces(NEW.raw_response, erased);
        NEW.erased_at := now();
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_erased_response() IS
    'Keeps erased people out of the raw responses of new runs';

CREATE FUNCTION withhold_erased_detection() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    names text[];
    erased boolean;
BEGIN
    PERFORM share_erasure_lock();
    IF NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN NEW;
    END IF;
    names := faces_named(NEW.attributes);
    IF NEW.kind = 'face_match' THEN
        names := names || NEW.label;
    END IF;
    WITH named AS MATERIALIZED (
        SELECT erasure_digest(name) AS digest FROM unnest(names) AS name
    )
    SELECT EXISTS (SELECT FROM named JOIN erased_names USING (digest)) INTO erased;
    IF NOT erased THEN
        RETURN NEW;
    END IF;
    UPDATE runs
    SET detection_count = detection_count - 1,
        erased_at = now(),
        -- Without an id of the person, the run searched for that person only: CompareFaces.
        raw_response = CASE jsonb_typeof(raw_response)
            WHEN 'object' THEN raw_response - ARRAY['SourceImageFace', 'FaceMatches']
            ELSE raw_response
        END
    WHERE run_id = NEW.run_id;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION withhold_erased_detection() IS
    'Keeps erased people out of new detections';

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
                    'prefix:s3://' || image_bucket || '/' || left(image_key, known.prefix_length)
                )
                FROM (
                    SELECT DISTINCT prefix_length FROM erased_images
                    WHERE prefix_length IS NOT NULL
                ) AS known
                WHERE known.prefix_length <= char_length(image_key)
            )
        )
    );

COMMENT ON FUNCTION erased_until(text, text, uuid) IS
    'The time up to which uploads of this image are erased; null if none are';

CREATE FUNCTION await_erasures() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM share_erasure_lock();
    RETURN NULL;
END $$;

COMMENT ON FUNCTION await_erasures() IS
    'Makes an erasure wait until this transaction has ended';

CREATE FUNCTION withhold_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    erased timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN NEW;  -- the usual case
    END IF;
    erased := erased_until(NEW.bucket, NEW.key, NEW.image_id);
    IF NEW.last_uploaded_at <= erased THEN
        RETURN NULL;
    END IF;
    -- The same bytes were uploaded again. The earlier upload must leave no trace.
    IF NEW.uploaded_at <= erased THEN
        NEW.uploaded_at := NEW.last_uploaded_at;
        NEW.uploaded_ats := NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_erased_image() IS
    'Keeps erased images out of images';

CREATE FUNCTION withhold_run_of_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    image images;
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN NEW;
    END IF;
    SELECT * INTO image FROM images WHERE images.image_id = NEW.image_id;
    -- Withheld earlier in this transaction, or still there and about to be deleted.
    IF NOT FOUND OR image.last_uploaded_at <= erased_until(image.bucket, image.key, image.image_id) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_run_of_erased_image() IS
    'Keeps runs of erased images out of runs';

CREATE FUNCTION withhold_removal_of_erased_image() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_images)
        AND erased_until(
            NEW.bucket, NEW.key,
            CASE WHEN NEW.version <> '' THEN image_id(NEW.bucket, NEW.key, NEW.version) END
        ) IS NOT NULL
        -- If the object was uploaded again, the removal concerns that upload.
        AND NOT EXISTS (SELECT FROM images WHERE images.bucket = NEW.bucket AND images.key = NEW.key)
    THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_removal_of_erased_image() IS
    'Keeps the names of erased objects out of removals, when they are removed from S3 later';

CREATE FUNCTION find_erased_images(
    asked uuid[], asked_buckets text[], asked_keys text[], asked_uploads timestamptz[]
) RETURNS uuid[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM erased_images) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(
        SELECT one.image_id
        FROM unnest(asked, asked_buckets, asked_keys, asked_uploads)
            AS one (image_id, bucket, key, uploaded_at)
        WHERE one.uploaded_at <= erased_until(one.bucket, one.key, one.image_id)
    );
END $$;

COMMENT ON FUNCTION find_erased_images(uuid[], text[], text[], timestamptz[]) IS
    'Those of these images that were erased after these uploads; detectors can skip them';

-- A function with its owner's rights must not find tables that another user created.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'withhold_erased_response()', 'withhold_erased_detection()', 'withhold_erased_image()',
        'withhold_run_of_erased_image()', 'withhold_removal_of_erased_image()',
        'find_erased_images(uuid[], text[], text[], timestamptz[])'
    ] LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema()
        );
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION erasure_digest(text), erased_until(text, text, uuid) FROM PUBLIC;

CREATE TRIGGER withhold_erased BEFORE INSERT ON runs
    FOR EACH ROW EXECUTE FUNCTION withhold_erased_response();

-- The condition saves other detectors a call for each detection. Postgres reads it for each statement.
-- The function of runs has its condition inside, because most statements insert few runs.
CREATE TRIGGER withhold_erased BEFORE INSERT ON detections
    FOR EACH ROW
    WHEN (NEW.kind = 'face_match' OR NEW.attributes ?| ARRAY['Face', 'FaceId', 'UserId'])
    EXECUTE FUNCTION withhold_erased_detection();

-- In the order in which writers lock the tables.
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
