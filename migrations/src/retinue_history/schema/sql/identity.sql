-- The identity of images, and the order of their events. Tables refer to these functions.

-- For searching words by parts of them. A trusted extension: the database's owner may create it. RDS,
-- Debian and the embedded server all ship it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- In PL/pgSQL, because Postgres can't inline an immutable SQL function that calls convert_to, which is
-- only stable. Each call would start a statement of its own.
CREATE FUNCTION image_id(bucket text, key text, version text) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- Bucket and version can't contain a newline, so the text is unambiguous.
    digest bytea := sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8'));
BEGIN
    -- A UUIDv8 (RFC 9562) from the first 16 bytes of SHA-256.
    RETURN encode(
        set_byte(
            set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128),
            8, get_byte(digest, 8) & 63 | 128
        ),
        'hex'
    )::uuid;
END $$;

COMMENT ON FUNCTION image_id(text, text, text) IS
    'The id of an image, from its S3 identity alone: bucket, decoded key, and version id '
    '(ETag without quotes where the bucket is unversioned)';

CREATE FUNCTION sequencer_rank(sequencer text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    -- S3's rule: pad the shorter with zeros on the right, then compare as text. Stripping the zeros
    -- gives the same order and needs one operand. Bytes compare without a collation.
    RETURN convert_to(rtrim(upper(sequencer), '0'), 'UTF8');
END $$;

COMMENT ON FUNCTION sequencer_rank(text) IS
    'Orders the S3 sequencers of one key: the later event has the greater rank';

CREATE FUNCTION job_token(
    image_id uuid, detector text, detector_version text, fingerprint text, earlier_failures integer,
    attempt integer
) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    -- Base64url of 32 bytes, without the padding: 43 characters.
    RETURN translate(
        encode(
            sha256(convert_to(
                jsonb_build_array(
                    image_id, detector, detector_version, fingerprint, earlier_failures, attempt
                )::text,
                'UTF8'
            )),
            'base64'
        ),
        '+/=', '-_'
    );
END $$;

COMMENT ON FUNCTION job_token(uuid, text, text, text, integer, integer) IS
    'Identifies an attempt at a job to its service, from its run key, how many runs of that key '
    'failed before it was asked for, and the attempt. A database that was restored computes the same';
