-- Runs counted by day. Triggers count every insert, change and deletion of runs in its transaction. Each
-- handles all rows of a statement, and sorts its rows, so that two transactions lock rows in the
-- same order. They run with the rights of the tables' owner, because others can't change a count.

CREATE FUNCTION count_runs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    times integer := TG_ARGV[0];
BEGIN
    INSERT INTO run_counts AS known (
        day, series, shard, detector, detector_version, fingerprint, model_version, runs,
        failed_runs, skipped_runs, detections, billed_units, price_usd, saved_usd
    )
    SELECT
        (started_at AT TIME ZONE 'UTC')::date AS day,
        count_series(detector, detector_version, fingerprint, model_version) AS series,
        pg_backend_pid() & 15, detector, detector_version, fingerprint, model_version,
        times * count(*) FILTER (WHERE outcome <> 'skipped'),
        times * count(*) FILTER (WHERE outcome = 'failed'),
        times * count(*) FILTER (WHERE outcome = 'skipped'), times * sum(detection_count),
        times * sum(billed_units), times * sum(price_usd), times * coalesce(sum(saved_usd), 0)
    FROM changed
    GROUP BY day, detector, detector_version, fingerprint, model_version
    ORDER BY day, series
    ON CONFLICT (day, series, shard) DO UPDATE SET
        runs = known.runs + excluded.runs,
        failed_runs = known.failed_runs + excluded.failed_runs,
        skipped_runs = known.skipped_runs + excluded.skipped_runs,
        detections = known.detections + excluded.detections,
        billed_units = known.billed_units + excluded.billed_units,
        price_usd = known.price_usd + excluded.price_usd,
        saved_usd = known.saved_usd + excluded.saved_usd;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION count_runs() IS
    'Adds the changed runs to run_counts as often as the trigger''s argument says: 1 or -1';

CREATE FUNCTION clear_after_runs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    TRUNCATE detections;
    DELETE FROM run_counts;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION clear_after_runs() IS
    'Empties detections and run_counts when runs is truncated';

-- A caller's search_path must not redirect these functions to other tables of the same names.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['count_runs', 'clear_after_runs'] LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema()
        );
    END LOOP;
END $$;

CREATE TRIGGER count_added AFTER INSERT ON runs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_runs('1');
CREATE TRIGGER count_removed AFTER DELETE ON runs
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_runs('-1');
CREATE TRIGGER count_updated_away AFTER UPDATE ON runs
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_runs('-1');
CREATE TRIGGER count_updated_to AFTER UPDATE ON runs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_runs('1');
CREATE TRIGGER count_truncated AFTER TRUNCATE ON runs
    FOR EACH STATEMENT EXECUTE FUNCTION clear_after_runs();
