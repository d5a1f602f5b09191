CREATE FUNCTION box_area(a box) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN area(a);

COMMENT ON FUNCTION box_area(box) IS
    'The area of a view''s box as a share of the image, 0 to 1 where the box lies inside it; times '
    'width_px and height_px of the image, it is in square pixels';

CREATE FUNCTION iou(a box, b box) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- The boxes' common area over the area that either covers; a # b is null where they are apart.
    RETURN coalesce(
        area(a # b) / nullif(area(a) + area(b) - area(a # b), 0), 0
    );

COMMENT ON FUNCTION iou(box, box) IS
    'Intersection over union of two boxes of one image: 0 if they are apart, 1 if they are equal';

CREATE FUNCTION label_is(ancestor text) RETURNS text[]
    -- Dear, so that the planner asks once for an index rather than for each row.
    LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100000
    -- UNION, not UNION ALL: a circle of parents ends where it closes.
    RETURN (
        WITH RECURSIVE narrower (label) AS (
            SELECT ancestor
            UNION
            SELECT label FROM labels WHERE lower(label) = lower(ancestor)
            UNION
            SELECT parents.label
            FROM narrower
            JOIN label_parents AS parents ON lower(parents.parent) = lower(narrower.label)
        )
        SELECT array_agg(label ORDER BY label) FROM narrower
    );

COMMENT ON FUNCTION label_is(text) IS
    'The label and everything that is a kind of it: WHERE label = ANY (label_is(''Vehicle'')). '
    'Upper and lower case do not matter';

CREATE FUNCTION label_is(label text, ancestor text) RETURNS boolean
    -- Not strict, so that the planner puts the comparison in its place and finds the index.
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN label = ANY (label_is(ancestor));

COMMENT ON FUNCTION label_is(text, text) IS
    'Whether a label is, or is a kind of, another: WHERE label_is(label, ''Vehicle'')';

CREATE FUNCTION label_parents_in(attributes jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 3
    BEGIN ATOMIC
        SELECT DISTINCT parent
        FROM (
            SELECT CASE jsonb_typeof(told)
                WHEN 'object' THEN coalesce(told ->> 'Name', told ->> 'name')
                WHEN 'string' THEN told #>> '{}'
            END
            FROM (
                SELECT jsonb_path_query(attributes, '$.Parents[*]')
                UNION ALL SELECT jsonb_path_query(attributes, '$.parents[*]')
                UNION ALL SELECT jsonb_path_query(attributes, '$.ParentName')
                UNION ALL SELECT jsonb_path_query(attributes, '$.supercategory')
            ) AS everything (told)
        ) AS names (parent)
        WHERE octet_length(parent) BETWEEN 1 AND 500;
    END;

COMMENT ON FUNCTION label_parents_in(jsonb) IS
    'The wider labels that a detection''s attributes name: Parents or parents (texts, or objects '
    'with a Name), ParentName, supercategory';

CREATE FUNCTION label_series(
    kind text, label text, detector text, detector_version text, model_version text
) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- Five texts may be longer than an index entry. Written as a JSON array, two different lists
    -- are never the same text.
    RETURN encode(
        substr(
            sha256(convert_to(
                jsonb_build_array(kind, label, detector, detector_version, model_version)::text,
                'UTF8'
            )),
            1, 16
        ),
        'hex'
    )::uuid;

COMMENT ON FUNCTION label_series(text, text, text, text, text) IS
    'What is counted together in label_counts, as 16 bytes';
