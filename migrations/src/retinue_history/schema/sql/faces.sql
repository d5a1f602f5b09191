-- Which faces an answer of Amazon Rekognition names. Indexes of tables call faces_named().

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
    'An answer of Amazon Rekognition without the entries that name one of these ids. List elements '
    'are removed; anything else becomes null';
