-- Words are searched by parts of them. A trusted extension: the owner of the database may create it,
-- and RDS, Debian and the embedded server all ship it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- convert_to is declared stable. A function in SQL that calls it, and says of itself that it is
-- immutable, cannot become a part of the statement around it: each call starts one of its own.
CREATE FUNCTION image_id(bucket text, key text, version text) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- Bucket and version cannot contain a newline, so the text is unambiguous.
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
    -- S3 says: pad the shorter with zeros on the right, then compare as text. Without the zeros on
    -- the right the comparison is the same, and needs no second operand; bytes need no collation.
    RETURN convert_to(rtrim(upper(sequencer), '0'), 'UTF8');
END $$;

COMMENT ON FUNCTION sequencer_rank(text) IS
    'Orders the S3 sequencers of one key: the later event has the greater rank';
