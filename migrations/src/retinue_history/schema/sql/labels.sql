-- Labels: their hierarchy, and the daily counts that triggers of detections keep.

CREATE FUNCTION label_is(ancestor text) RETURNS text[]
    -- A high cost makes the planner call it once for an index scan, not once for each row.
    LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100000
    -- UNION, not UNION ALL, ends a cycle of parents.
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
    'The label and all narrower labels: WHERE label = ANY (label_is(''Vehicle'')). '
    'Case-insensitive';

CREATE FUNCTION label_is(label text, ancestor text) RETURNS boolean
    -- Not strict, so that the planner can inline it and use the index.
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN label = ANY (label_is(ancestor));

COMMENT ON FUNCTION label_is(text, text) IS
    'Whether a label equals another or is a kind of it: WHERE label_is(label, ''Vehicle'')';

CREATE FUNCTION label_parents_in(attributes jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 3
    BEGIN ATOMIC
        SELECT DISTINCT parent
        FROM (
            SELECT CASE jsonb_typeof(value)
                WHEN 'object' THEN coalesce(value ->> 'Name', value ->> 'name')
                WHEN 'string' THEN value #>> '{}'
            END
            FROM (
                SELECT jsonb_path_query(attributes, '$.Parents[*]')
                UNION ALL SELECT jsonb_path_query(attributes, '$.parents[*]')
                UNION ALL SELECT jsonb_path_query(attributes, '$.ParentName')
                UNION ALL SELECT jsonb_path_query(attributes, '$.supercategory')
            ) AS everything (value)
        ) AS names (parent)
        WHERE octet_length(parent) BETWEEN 1 AND 500;
    END;

COMMENT ON FUNCTION label_parents_in(jsonb) IS
    'The wider labels that a detection''s attributes name: Parents or parents (texts, or objects '
    'with a Name), ParentName, supercategory';

CREATE FUNCTION label_series(
    kind text, label text, detector text, detector_version text, model_version text
) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    -- A digest, because five texts can be longer than an index entry. As a JSON array, two different
    -- lists never have the same text.
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
    'The key of what label_counts counts together: a digest of the five texts';

-- The triggers run with the rights of the tables' owner: a writer can add detections, but can't change
-- a count. Each trigger handles all rows of a statement. Recognized texts are counted together,
-- without their content, because nearly every text is a label of its own.

CREATE FUNCTION count_added_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    -- A plan made while runs is nearly empty must not scan all of it later.
    SET enable_seqscan = off
AS $$
DECLARE
    stray boolean;
    wider boolean;
    new_labels text[];
    new_kinds text[];
BEGIN
    -- Sorted, so that two transactions lock the rows in the same order and can't deadlock.
    WITH grouped AS MATERIALIZED (
        SELECT
            (added.detected_at AT TIME ZONE 'UTC')::date AS day, runs.detector,
            runs.detector_version, runs.model_version, added.kind,
            CASE WHEN added.kind = 'text' THEN '' ELSE added.label END AS label,
            count(*) AS detections,
            sum((added.confidence * 1000000)::bigint)::bigint AS confidence_ppm,
            bool_or(added.attributes <> '{}'
                AND added.attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
            ) AS wider
        FROM added
        LEFT JOIN LATERAL (
            SELECT detector, detector_version, model_version FROM runs
            WHERE runs.run_id = added.run_id AND runs.started_at = added.detected_at
            LIMIT 1  -- makes it an index lookup for each row
        ) AS runs ON true
        GROUP BY 1, 2, 3, 4, 5, 6
    ), counted AS (
        INSERT INTO label_counts AS known (
            day, series, shard, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        )
        SELECT
            day, label_series(kind, label, detector, detector_version, model_version) AS series,
            pg_backend_pid() % 16, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        FROM grouped
        WHERE detector IS NOT NULL
        ORDER BY 1, 2
        ON CONFLICT (day, series, shard) DO UPDATE SET
            detections = known.detections + excluded.detections,
            confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
        -- An inserted row has no xmax, an updated one has. Only an inserted row can have a new label.
        RETURNING kind, label, known.xmax = 0
            AND kind <> 'text' AND octet_length(label) + octet_length(kind) <= 1000 AS is_new
    ), learned AS (
        SELECT array_agg(label) AS labels, array_agg(kind) AS kinds FROM counted WHERE is_new
    ), checked AS (
        SELECT bool_or(detector IS NULL) AS stray, bool_or(grouped.wider) AS wider FROM grouped
    )
    SELECT checked.stray, checked.wider, learned.labels, learned.kinds
    INTO stray, wider, new_labels, new_kinds
    FROM checked, learned;
    IF stray THEN
        RAISE EXCEPTION 'detected_at of a detection differs from started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'Views look up a run''s detections by both.';
    END IF;
    IF new_labels IS NOT NULL THEN
        INSERT INTO labels (label, kind)
        SELECT DISTINCT label, kind
        FROM unnest(new_labels, new_kinds) AS new (label, kind)
        ORDER BY label, kind
        ON CONFLICT DO NOTHING;
    END IF;
    IF wider THEN
        INSERT INTO label_parents (label, parent)
        SELECT DISTINCT label, parent
        FROM added, label_parents_in(attributes) AS parent
        WHERE attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
            AND octet_length(label) <= 1000
        ORDER BY label, parent
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION count_added_labels() IS
    'Adds detections to label_counts, and their labels to labels and label_parents';

CREATE FUNCTION count_removed_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO label_counts AS known (
        day, series, shard, detector, detector_version, model_version, kind, label,
        detections, confidence_ppm
    )
    SELECT
        day, label_series(kind, label, detector, detector_version, model_version) AS series,
        pg_backend_pid() % 16, detector, detector_version, model_version, kind, label,
        -detections, -confidence_ppm
    FROM (
        SELECT
            (removed.detected_at AT TIME ZONE 'UTC')::date AS day, runs.detector,
            runs.detector_version, runs.model_version, removed.kind,
            CASE WHEN removed.kind = 'text' THEN '' ELSE removed.label END AS label,
            count(*) AS detections,
            sum((removed.confidence * 1000000)::bigint)::bigint AS confidence_ppm
        FROM removed
        JOIN runs ON runs.run_id = removed.run_id
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS grouped
    ORDER BY day, series
    ON CONFLICT (day, series, shard) DO UPDATE SET
        detections = known.detections + excluded.detections,
        confidence_ppm = known.confidence_ppm + excluded.confidence_ppm;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION count_removed_labels() IS
    'Subtracts deleted detections from label_counts';

CREATE FUNCTION clear_label_counts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    DELETE FROM label_counts;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION clear_label_counts() IS
    'Empties label_counts when detections is truncated';

CREATE FUNCTION delete_detections_of_run() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM detections WHERE run_id = OLD.run_id AND detected_at = OLD.started_at;
    RETURN OLD;
END $$;

COMMENT ON FUNCTION delete_detections_of_run() IS
    'Deletes a run''s detections before the run, which tells what they were counted as';

CREATE FUNCTION refuse_changed_run() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'the image, detector, versions and time of a run cannot change'
        USING ERRCODE = 'check_violation',
        HINT = 'Record another run, or delete this one.';
END $$;

COMMENT ON FUNCTION refuse_changed_run() IS
    'Protects the columns of runs by which detections were counted';

-- A caller's search_path must not redirect these functions to other tables of the same names.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'count_added_labels', 'count_removed_labels', 'clear_label_counts',
        'delete_detections_of_run'
    ] LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema()
        );
    END LOOP;
END $$;

CREATE TRIGGER count_added AFTER INSERT ON detections
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_labels();
CREATE TRIGGER count_removed AFTER DELETE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_away AFTER UPDATE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_to AFTER UPDATE ON detections
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_labels();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON detections
    FOR EACH STATEMENT EXECUTE FUNCTION clear_label_counts();
CREATE TRIGGER delete_detections BEFORE DELETE ON runs
    FOR EACH ROW EXECUTE FUNCTION delete_detections_of_run();
CREATE TRIGGER refuse_change
    BEFORE UPDATE OF run_id, image_id, detector, detector_version, model_version, started_at ON runs
    FOR EACH ROW
    WHEN (
        (OLD.run_id, OLD.image_id, OLD.detector, OLD.detector_version, OLD.started_at)
            IS DISTINCT FROM
            (NEW.run_id, NEW.image_id, NEW.detector, NEW.detector_version, NEW.started_at)
        OR OLD.model_version IS DISTINCT FROM NEW.model_version
    )
    EXECUTE FUNCTION refuse_changed_run();
