DO $$
DECLARE
    closed record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR closed IN
            SELECT oid::regprocedure AS signature
            FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
                AND (proname ~ '^pg_(try_)?advisory_' OR proname = 'pg_logical_emit_message'
                    OR proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put',
                        'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', closed.signature);
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM retinue_writer', closed.signature);
        END LOOP;
        EXECUTE format(
            'ALTER ROLE retinue_reader IN DATABASE %I RESET temp_file_limit', current_database()
        );
    END IF;
    IF pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM retinue_writer', current_database());
    END IF;
END $$;
