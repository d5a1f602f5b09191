CREATE FUNCTION image_id(bucket text, key text, version text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- A UUIDv8 (RFC 9562) from the first 16 bytes of SHA-256. Bucket and version cannot contain a
    -- newline, so the text is unambiguous.
    RETURN (
        SELECT encode(
            set_byte(
                set_byte(digest, 6, get_byte(digest, 6) & 15 | 128),
                8, get_byte(digest, 8) & 63 | 128
            ),
            'hex'
        )::uuid
        FROM (
            SELECT substr(
                sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8')), 1, 16
            ) AS digest
        ) AS name
    );

COMMENT ON FUNCTION image_id(text, text, text) IS
    'The id of an image, from its S3 identity alone: bucket, decoded key, and version id '
    '(ETag without quotes where the bucket is unversioned)';

CREATE FUNCTION sequencer_rank(sequencer text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- S3 says: pad the shorter with zeros on the right, then compare as text. Without the zeros on
    -- the right the comparison is the same, and needs no second operand; bytes need no collation.
    RETURN convert_to(rtrim(upper(sequencer), '0'), 'UTF8');

COMMENT ON FUNCTION sequencer_rank(text) IS
    'Orders the S3 sequencers of one key: the later event has the greater rank';
