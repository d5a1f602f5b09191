-- `retinue maintain` attaches this to a partition before it copies the rows. If a row changes meanwhile,
-- the copy isn't complete, and the partition is copied again.

CREATE FUNCTION note_archiving_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    UPDATE archived_months SET changed = true WHERE partition = TG_TABLE_NAME AND NOT changed;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION note_archiving_change() IS
    'Notes that a partition changed while it was archived';

DO $$ BEGIN
    EXECUTE format(
        'ALTER FUNCTION note_archiving_change() SET search_path = pg_catalog, %I, pg_temp',
        current_schema()
    );
END $$;
