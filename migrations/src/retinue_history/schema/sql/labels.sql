-- Labels: their hierarchy, and their daily counts. record_runs() counts its inserts. Triggers count
-- changes and deletions.

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

CREATE FUNCTION named_parents(attributes jsonb) RETURNS jsonb
    -- Neither strict nor immutable, so that the planner can inline it.
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
        THEN jsonb_build_array(
            attributes -> 'Parents', attributes -> 'parents', attributes -> 'ParentName',
            attributes -> 'supercategory'
        )
    END;

COMMENT ON FUNCTION named_parents(jsonb) IS
    'The parts of a detection''s attributes that name wider labels; null if there are none';

CREATE FUNCTION hash_parents(attributes jsonb) RETURNS integer
    -- Called for each recorded detection, so it builds no JSON. Each key has a seed of its own:
    -- the hashes of equal values would cancel each other out.
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        (
            coalesce(jsonb_hash_extended(attributes -> 'Parents', 1), 0)
            # coalesce(jsonb_hash_extended(attributes -> 'parents', 2), 0)
            # coalesce(jsonb_hash_extended(attributes -> 'ParentName', 3), 0)
            # coalesce(jsonb_hash_extended(attributes -> 'supercategory', 4), 0)
        ) & 2147483647
    )::integer;

COMMENT ON FUNCTION hash_parents(jsonb) IS
    'A hash of named_parents(); 0 if there are none';

CREATE FUNCTION count_series(first text, second text, third text, fourth text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- A hash, because four texts and a label can be longer than an index entry. A SHA-256 took a
    -- thirtieth of the instructions of a commit of one image.
    RETURN hash_array_extended(ARRAY[first, second, third, fourth], 0);

COMMENT ON FUNCTION count_series(text, text, text, text) IS
    'A hash of four texts, by which label_counts and run_counts count together';

-- Recognized texts are counted together, without their content, because nearly every text is a label
-- of its own. Rows are sorted before they are written, so that two transactions lock them in the same
-- order and can't deadlock.

CREATE FUNCTION count_detections(
    of_runs int[], started_ats timestamptz[], detectors text[], detector_versions text[],
    model_versions text[], kinds text[], labels text[], confidences double precision[],
    attributes jsonb[]
) RETURNS void
    LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    new_labels text[];
BEGIN
    WITH counted AS (
        INSERT INTO label_counts AS known (
            day, label, series, shard, kind, detector, detector_version, model_version,
            detections, confidence_ppm
        )
        SELECT
            day, label, count_series(kind, detector, detector_version, model_version) AS series,
            shard, kind, detector, detector_version, model_version, count(*),
            sum(confidence_ppm)::bigint
        FROM (
            SELECT
                (started_ats[of_runs[n]] AT TIME ZONE 'UTC')::date AS day,
                detectors[of_runs[n]] AS detector,
                detector_versions[of_runs[n]] AS detector_version,
                model_versions[of_runs[n]] AS model_version,
                kinds[n] AS kind,
                CASE WHEN kinds[n] = 'text' THEN '' ELSE labels[n] END AS label,
                -- Other sessions and other parents have rows of their own.
                (hash_parents(attributes[n]) & -16) | (pg_backend_pid() & 15) AS shard,
                (confidences[n] * 1000000)::bigint AS confidence_ppm
            FROM generate_series(1, cardinality(of_runs)) AS n
            WHERE of_runs[n] IS NOT NULL
        ) AS added
        GROUP BY day, label, shard, kind, detector, detector_version, model_version
        ORDER BY day, label, series, shard
        ON CONFLICT (day, label, series, shard) DO UPDATE SET
            detections = known.detections + excluded.detections,
            confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
        -- An inserted row has no xmax, an updated one has. Only an inserted row can have a new label,
        -- or a label with new parents.
        RETURNING label, known.xmax = 0 AND kind <> 'text' AND octet_length(label) <= 1000 AS is_new
    )
    SELECT array_agg(label) INTO new_labels FROM counted WHERE is_new;
    IF new_labels IS NULL THEN
        RETURN;  -- the usual case
    END IF;

    INSERT INTO labels (label, kind)
    SELECT DISTINCT labels[n] AS label, kinds[n] AS kind
    FROM generate_series(1, cardinality(of_runs)) AS n
    WHERE of_runs[n] IS NOT NULL AND kinds[n] <> 'text' AND labels[n] IN (SELECT unnest(new_labels))
        AND octet_length(labels[n]) + octet_length(kinds[n]) <= 1000
    ORDER BY label, kind
    ON CONFLICT DO NOTHING;

    INSERT INTO label_parents (label, parent)
    SELECT DISTINCT label, parent
    FROM (
        SELECT labels[n] AS label, CASE jsonb_typeof(named)
            WHEN 'object' THEN coalesce(named ->> 'Name', named ->> 'name')
            WHEN 'string' THEN named #>> '{}'
        END AS parent
        FROM generate_series(1, cardinality(of_runs)) AS n
        CROSS JOIN LATERAL jsonb_path_query(named_parents(attributes[n]), '$[*][*]') AS named
        WHERE of_runs[n] IS NOT NULL AND kinds[n] <> 'text' AND labels[n] IN (SELECT unnest(new_labels))
    ) AS wider
    WHERE octet_length(parent) BETWEEN 1 AND 500
    ORDER BY label, parent
    ON CONFLICT DO NOTHING;
END $$;

COMMENT ON FUNCTION count_detections(
    int[], timestamptz[], text[], text[], text[], text[], text[], double precision[], jsonb[]
) IS
    'Adds detections to label_counts, and their labels to labels and label_parents. of_runs are '
    'positions of runs, from 1; a detection with null is left out. Parents are what attributes name: '
    'Parents or parents (texts, or objects with a Name), ParentName, supercategory';

-- The triggers run with the rights of the tables' owner, because others can't change a count. Each
-- handles all rows of a statement.

-- In a generic plan the arrays are parameters, which have an index of their elements. A custom plan
-- would make constants of them, in which each subscript reads all elements before it.
CREATE FUNCTION count_updated_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        LEFT JOIN runs ON runs.run_id = added.run_id AND runs.started_at = added.detected_at
        WHERE runs.run_id IS NULL
    ) THEN
        RAISE EXCEPTION 'detected_at of a detection differs from started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'Views look up a run''s detections by both.';
    END IF;
    PERFORM count_detections(
        array_agg(number), array_agg(started_at), array_agg(detector), array_agg(detector_version),
        array_agg(model_version), array_agg(kind), array_agg(label), array_agg(confidence),
        array_agg(attributes)
    )
    FROM (
        SELECT
            row_number() OVER ()::int AS number, runs.started_at, detector, detector_version,
            model_version, kind, label, confidence, attributes
        FROM added JOIN runs ON runs.run_id = added.run_id
    ) AS numbered
    HAVING count(*) > 0;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION count_updated_labels() IS
    'Adds changed detections to label_counts, and their labels to labels and label_parents';

CREATE FUNCTION count_removed_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO label_counts AS known (
        day, label, series, shard, kind, detector, detector_version, model_version, detections,
        confidence_ppm
    )
    SELECT
        day, label, count_series(kind, detector, detector_version, model_version) AS series,
        pg_backend_pid() & 15, kind, detector, detector_version, model_version, -detections,
        -confidence_ppm
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
    ORDER BY day, label, series
    ON CONFLICT (day, label, series, shard) DO UPDATE SET
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
    'Deletes a run''s detections before the run, which has the keys of their counts';

CREATE FUNCTION refuse_changed_run() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'the image, detector, versions, options and time of a run cannot change'
        USING ERRCODE = 'check_violation',
        HINT = 'Record another run, or delete this one.';
END $$;

COMMENT ON FUNCTION refuse_changed_run() IS
    'Protects the columns of runs by which they and their detections were counted';

-- A caller's search_path must not redirect these functions to other tables of the same names.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'count_updated_labels', 'count_removed_labels', 'clear_label_counts',
        'delete_detections_of_run'
    ] LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema()
        );
    END LOOP;
END $$;

CREATE TRIGGER count_removed AFTER DELETE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_away AFTER UPDATE ON detections
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_labels();
CREATE TRIGGER count_updated_to AFTER UPDATE ON detections
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_updated_labels();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON detections
    FOR EACH STATEMENT EXECUTE FUNCTION clear_label_counts();
CREATE TRIGGER delete_detections BEFORE DELETE ON runs
    FOR EACH ROW EXECUTE FUNCTION delete_detections_of_run();
CREATE TRIGGER refuse_change
    BEFORE UPDATE OF
        run_id, image_id, detector, detector_version, fingerprint, model_version, started_at ON runs
    FOR EACH ROW
    WHEN (
        (
            OLD.run_id, OLD.image_id, OLD.detector, OLD.detector_version, OLD.fingerprint,
            OLD.started_at
        ) IS DISTINCT FROM (
            NEW.run_id, NEW.image_id, NEW.detector, NEW.detector_version, NEW.fingerprint,
            NEW.started_at
        )
        OR OLD.model_version IS DISTINCT FROM NEW.model_version
    )
    EXECUTE FUNCTION refuse_changed_run();
