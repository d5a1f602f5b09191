-- The triggers run with the rights of the tables' owner: a writer may add detections, and nobody
-- may change a count by hand. Each works on all rows of a statement at once. Texts that were read
-- are counted together, without what they say: nearly every one is a label of its own.

CREATE FUNCTION count_added_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    -- The plan is made once, perhaps while runs is nearly empty: it must not read all of it later.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        LEFT JOIN runs ON runs.run_id = added.run_id AND runs.started_at = added.detected_at
        WHERE runs.run_id IS NULL
    ) THEN
        RAISE EXCEPTION 'a detection''s detected_at is not the started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'views look up a run''s detections by both';
    END IF;
    -- Sorted, so that two transactions take the rows in the same order and cannot deadlock.
    WITH counted AS (
        INSERT INTO label_counts AS known (
            day, series, shard, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        )
        SELECT
            day, label_series(kind, label, detector, detector_version, model_version) AS series,
            pg_backend_pid() % 16, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        FROM (
            SELECT
                (added.detected_at AT TIME ZONE 'UTC')::date AS day, runs.detector,
                runs.detector_version, runs.model_version, added.kind,
                CASE WHEN added.kind = 'text' THEN '' ELSE added.label END AS label,
                count(*) AS detections,
                sum((added.confidence * 1000000)::bigint)::bigint AS confidence_ppm
            FROM added
            JOIN runs ON runs.run_id = added.run_id
            GROUP BY 1, 2, 3, 4, 5, 6
        ) AS grouped
        ORDER BY day, series
        ON CONFLICT (day, series, shard) DO UPDATE SET
            detections = known.detections + excluded.detections,
            confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
        -- A row that was inserted, not updated, has no xmax: only then may the label be new.
        RETURNING kind, label, known.xmax = 0 AS is_new
    )
    INSERT INTO labels (label, kind)
    SELECT DISTINCT label, kind
    FROM counted
    WHERE is_new AND kind <> 'text' AND octet_length(label) + octet_length(kind) <= 1000
    ORDER BY label, kind
    ON CONFLICT DO NOTHING;

    INSERT INTO label_parents (label, parent)
    SELECT DISTINCT label, parent
    FROM added, label_parents_in(attributes) AS parent
    WHERE attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
        AND octet_length(label) <= 1000
    ORDER BY label, parent
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION count_added_labels() IS
    'Counts detections into label_counts, and learns labels and their parents from them';

CREATE FUNCTION count_removed_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    uncounted_to bigint;
BEGIN
    -- While an upgrade counts what was there before, it decides what of that still is. The lock
    -- makes one of us wait for the other, and the later one sees what the earlier has done.
    SELECT up_to_detection_id INTO uncounted_to FROM label_counts_backlog FOR SHARE;
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
        WHERE removed.detection_id > coalesce(uncounted_to, -1)
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
