CREATE FUNCTION faces_named(answer jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
        SELECT coalesce(array_agg(DISTINCT name #>> '{}'), '{}')
        FROM (
            SELECT jsonb_path_query(answer, 'strict $.**.FaceId', silent => true)
            UNION ALL
            SELECT jsonb_path_query(answer, 'strict $.**.SearchedFaceId', silent => true)
            UNION ALL
            SELECT jsonb_path_query(answer, 'strict $.**.ExternalImageId', silent => true)
            UNION ALL
            SELECT jsonb_path_query(answer, 'strict $.**.UserId', silent => true)
        ) AS found (name)
        WHERE jsonb_typeof(name) = 'string'
    );

COMMENT ON FUNCTION faces_named(jsonb) IS
    'Every face id, external image id and user id in an answer of Amazon Rekognition, at any depth';

CREATE FUNCTION without_faces(answer jsonb, names text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    own text[] := ARRAY[
        answer ->> 'FaceId', answer ->> 'SearchedFaceId', answer ->> 'ExternalImageId',
        answer ->> 'UserId', answer -> 'Face' ->> 'FaceId', answer -> 'Face' ->> 'ExternalImageId',
        answer -> 'Face' ->> 'UserId', answer -> 'User' ->> 'UserId',
        CASE jsonb_typeof(answer) WHEN 'string' THEN answer #>> '{}' END
    ];
BEGIN
    IF own && names THEN
        RETURN NULL;
    END IF;
    RETURN CASE jsonb_typeof(answer)
        WHEN 'array' THEN (
            SELECT coalesce(jsonb_agg(kept ORDER BY number) FILTER (WHERE kept IS NOT NULL), '[]')
            FROM jsonb_array_elements(answer) WITH ORDINALITY AS item (value, number),
                LATERAL (SELECT without_faces(value, names)) AS cut (kept)
        )
        WHEN 'object' THEN (
            SELECT coalesce(jsonb_object_agg(key, without_faces(value, names)), '{}')
            FROM jsonb_each(answer)
        )
        ELSE answer
    END;
END $$;

COMMENT ON FUNCTION without_faces(jsonb, text[]) IS
    'An answer of Amazon Rekognition without the entries that name one of these ids: an element of '
    'a list is left out, anything else becomes null';

CREATE FUNCTION erasure_digest(name text) RETURNS bytea
    LANGUAGE sql STABLE STRICT
    RETURN sha256((SELECT salt FROM erasure_salt) || convert_to(name, 'UTF8'));

COMMENT ON FUNCTION erasure_digest(text) IS
    'A name as erasures and erased_names keep it: whoever knows the name and owns the database can '
    'look it up, and nobody can read it';

-- These run with the owner's rights: a worker need not see who was forgotten. Each holds a lock,
-- shared with all writers, until its transaction ends. An erasure writes its names, commits, and
-- takes that lock alone for a moment: whatever was written by those who did not see the names is
-- committed by then, and found by the deletion that follows.
CREATE FUNCTION withhold_erased_response() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    erased text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(5928237158326682882);
    IF NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN NEW; -- the usual case, made quick
    END IF;
    -- Materialized, so that a digest is made once a name, and looked up by the index.
    WITH told AS MATERIALIZED (
        SELECT name, erasure_digest(name) AS digest
        FROM unnest(faces_named(NEW.raw_response)) AS name
    )
    SELECT array_agg(name) INTO erased FROM told JOIN erased_names USING (digest);
    IF erased IS NOT NULL THEN
        NEW.raw_response := without_faces(NEW.raw_response, erased);
        NEW.erased_at := now();
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_erased_response() IS
    'Keeps forgotten people out of new runs'' raw responses';

CREATE FUNCTION withhold_erased_detection() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    names text[];
    erased boolean;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(5928237158326682882);
    IF NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN NEW;
    END IF;
    names := faces_named(NEW.attributes);
    IF NEW.kind = 'face_match' THEN
        names := names || NEW.label;
    END IF;
    WITH told AS MATERIALIZED (
        SELECT erasure_digest(name) AS digest FROM unnest(names) AS name
    )
    SELECT EXISTS (SELECT FROM told JOIN erased_names USING (digest)) INTO erased;
    IF NOT erased THEN
        RETURN NEW;
    END IF;
    UPDATE runs
    SET detection_count = detection_count - 1,
        erased_at = now(),
        -- Where no id names the person, the run looked for that person alone: CompareFaces.
        raw_response = CASE jsonb_typeof(raw_response)
            WHEN 'object' THEN raw_response - ARRAY['SourceImageFace', 'FaceMatches']
            ELSE raw_response
        END
    WHERE run_id = NEW.run_id;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION withhold_erased_detection() IS
    'Keeps forgotten people out of new detections';

-- A function with its owner's rights must not look for its tables where others can put some.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION withhold_erased_response() SET search_path = pg_catalog, %I, pg_temp',
        current_schema()
    );
    EXECUTE format(
        'ALTER FUNCTION withhold_erased_detection() SET search_path = pg_catalog, %I, pg_temp',
        current_schema()
    );
END $$;

REVOKE ALL ON FUNCTION
    withhold_erased_response(), withhold_erased_detection(), erasure_digest(text) FROM PUBLIC;

-- The conditions cost next to nothing, and spare all other detectors the functions and the indexes.
CREATE TRIGGER withhold_erased BEFORE INSERT ON runs
    FOR EACH ROW
    WHEN (NEW.raw_response ?| ARRAY[
        'SearchFacesByImage', 'SearchFaces', 'IndexFaces', 'SearchUsersByImage', 'SearchUsers'
    ])
    EXECUTE FUNCTION withhold_erased_response();

CREATE TRIGGER withhold_erased BEFORE INSERT ON detections
    FOR EACH ROW
    WHEN (NEW.kind = 'face_match' OR NEW.attributes ?| ARRAY['Face', 'FaceId', 'UserId'])
    EXECUTE FUNCTION withhold_erased_detection();
