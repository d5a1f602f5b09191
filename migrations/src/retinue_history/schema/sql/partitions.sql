-- detections has a partition for each month, and a default one for rows whose month has none yet.

CREATE TABLE detections_default PARTITION OF detections DEFAULT;

CREATE FUNCTION detections_partitions() RETURNS TABLE (
    partition text, starts timestamptz, ends timestamptz
)
    LANGUAGE sql STABLE
AS $$
    SELECT
        child.relname::text,
        coalesce(
            substring(bound FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity'
        ),
        coalesce(
            substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity'
        )
    FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid,
    LATERAL pg_get_expr(child.relpartbound, child.oid) AS bound
    WHERE inhparent = 'detections'::regclass AND bound <> 'DEFAULT'
    ORDER BY 2
$$;

COMMENT ON FUNCTION detections_partitions() IS
    'The partitions of detections with the time range of each, without detections_default';

CREATE FUNCTION missing_detections_months(ahead integer) RETURNS TABLE (
    partition text, starts timestamptz, ends timestamptz
)
    LANGUAGE sql STABLE
AS $$
    SELECT
        to_char(month, '"detections_"YYYY_MM'), timezone('UTC', month),
        timezone('UTC', month + interval '1 month')
    FROM (
        SELECT date_trunc('month', timezone('UTC', now())) + make_interval(months => number)
        FROM generate_series(0, ahead) AS number
        UNION
        SELECT date_trunc('month', timezone('UTC', detected_at)) FROM detections_default
    ) AS wanted (month)
    WHERE NOT EXISTS (
        SELECT FROM detections_partitions() AS known
        WHERE timezone('UTC', month) >= known.starts AND timezone('UTC', month) < known.ends
    )
    ORDER BY month
$$;

COMMENT ON FUNCTION missing_detections_months(integer) IS
    'The missing partitions for this month and so many months ahead, and for the rows in '
    'detections_default';

CREATE FUNCTION add_detections_months(ahead integer) RETURNS SETOF text
    LANGUAGE plpgsql
AS $$
DECLARE
    month record;
BEGIN
    FOR month IN SELECT * FROM missing_detections_months(ahead) LOOP
        -- Created apart and then attached: CREATE TABLE … PARTITION OF would block readers.
        EXECUTE format(
            'CREATE TABLE %I (LIKE detections INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            month.partition
        );
        EXECUTE format(
            'WITH moved AS (DELETE FROM detections_default WHERE detected_at >= %L '
            'AND detected_at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
            month.starts, month.ends, month.partition
        );
        EXECUTE format(
            'ALTER TABLE detections ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            month.partition, month.starts, month.ends
        );
        RETURN NEXT month.partition;
    END LOOP;
END $$;

COMMENT ON FUNCTION add_detections_months(integer) IS
    'Creates the partitions that missing_detections_months() lists, moves rows into them from '
    'detections_default, and returns their names';

SELECT add_detections_months(3);
