-- Postgres lets every login write large objects and to the log, queue notifications, fill the disk with
-- temporary tables and files, and the table of locks. Only a superuser can revoke the functions (on RDS no one
-- can), and only the database's owner can revoke temporary tables. These rights are the server's and
-- the database's, so a dump doesn't have all of them.
DO $$
DECLARE
    open_to_all record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR open_to_all IN
            SELECT oid::regprocedure AS signature
            FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
                AND has_function_privilege('public', oid, 'EXECUTE')
                AND (proname ~ '^pg_(try_)?advisory_' OR proname IN (
                    'pg_logical_emit_message', 'pg_notify', 'pg_export_snapshot',
                    'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put',
                    'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open_to_all.signature);
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO retinue_writer', open_to_all.signature);
        END LOOP;
        -- The disk space for sorts and joins of one session. A session can't raise it.
        IF NOT EXISTS (
            SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting
            WHERE setrole = 'retinue_reader'::regrole AND starts_with(setting, 'temp_file_limit=')
                AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) THEN
            EXECUTE format(
                'ALTER ROLE retinue_reader IN DATABASE %I SET temp_file_limit = %L',
                current_database(), '4GB'
            );
        END IF;
    END IF;
    -- Since PostgreSQL 16, `reserved_connections` keeps connections for members of this role.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_use_reserved_connections') THEN
        BEGIN
            GRANT pg_use_reserved_connections TO retinue_writer;
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- an administrator can do it
        END;
    END IF;
    IF has_database_privilege('public', current_database(), 'TEMPORARY')
        AND pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
    THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO retinue_writer', current_database());
    END IF;
END $$;
