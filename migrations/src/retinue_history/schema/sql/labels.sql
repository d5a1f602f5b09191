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
    LANGUAGE sql STABLE PARALLEL SAFE
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

-- The triggers run with the rights of the tables' owner: a writer may add detections, and nobody
-- may change a count by hand. Each works on all rows of a statement at once. Texts that were read
-- are counted together, without what they say: nearly every one is a label of its own.

CREATE FUNCTION count_added_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    -- The plan is made once, perhaps while runs is nearly empty: it must not read all of it later.
    SET enable_seqscan = off
AS $$
DECLARE
    stray boolean;
    wider boolean;
    new_labels text[];
    new_kinds text[];
BEGIN
    -- Sorted, so that two transactions take the rows in the same order and cannot deadlock.
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
            LIMIT 1  -- keeps it a look into the index for each
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
        -- A row that was inserted, not updated, has no xmax: only then may the label be new.
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
        RAISE EXCEPTION 'a detection''s detected_at is not the started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'views look up a run''s detections by both';
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
    'Counts detections into label_counts, and learns labels and their parents from them';

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
    'Takes deleted detections out of label_counts';

CREATE FUNCTION forget_label_counts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    DELETE FROM label_counts;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION forget_label_counts() IS
    'Empties label_counts when detections is truncated';

CREATE FUNCTION delete_detections_of_run() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM detections WHERE run_id = OLD.run_id AND detected_at = OLD.started_at;
    RETURN OLD;
END $$;

COMMENT ON FUNCTION delete_detections_of_run() IS
    'Deletes a run''s detections while the run can still be asked what they were counted as';

CREATE FUNCTION refuse_changed_run() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'a run is a fact: its image, detector, versions and time cannot change'
        USING ERRCODE = 'check_violation',
        HINT = 'record another run, or delete this one';
END $$;

COMMENT ON FUNCTION refuse_changed_run() IS
    'Keeps the counts right, which are kept by these columns of runs';

-- Who calls them may have tables of the same names in a schema of their own; these mean ours.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'count_added_labels', 'count_removed_labels', 'forget_label_counts',
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
    FOR EACH STATEMENT EXECUTE FUNCTION forget_label_counts();
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
