-- Without rights on any table, a login can still write large objects and the log, fill the disk with
-- temporary tables, and hold the locks that workers wait for. Postgres grants that to PUBLIC. Only a
-- superuser can revoke the functions (on RDS nobody can), and only the database's owner the tables.
DO $$
DECLARE
    open_to_all record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR open_to_all IN
            SELECT oid::regprocedure AS signature
            FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
                AND (proname ~ '^pg_(try_)?advisory_' OR proname = 'pg_logical_emit_message'
                    OR proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put',
                        'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open_to_all.signature);
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO retinue_writer', open_to_all.signature);
        END LOOP;
        -- What sorts and joins of one session may put on the disk; no session can raise it.
        EXECUTE format(
            'ALTER ROLE retinue_reader IN DATABASE %I SET temp_file_limit = %L',
            current_database(), '4GB'
        );
    END IF;
    IF pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO retinue_writer', current_database());
    END IF;
END $$;
