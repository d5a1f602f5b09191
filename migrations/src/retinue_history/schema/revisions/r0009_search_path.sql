-- Who calls it may have tables of the same names in a schema of their own; it means ours. To replace
-- a function is to lose its settings.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION count_added_labels() SET search_path = %I, pg_temp', current_schema()
    );
END $$;
