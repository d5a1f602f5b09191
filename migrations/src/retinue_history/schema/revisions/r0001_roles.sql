-- Roles belong to the cluster, not to the database: another database of it may have made them
-- already, or may be making them right now. Their settings are left alone then.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'retinue_writer') THEN
        BEGIN
            CREATE ROLE retinue_writer NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'retinue_reader') THEN
        BEGIN
            CREATE ROLE retinue_reader LOGIN;
            ALTER ROLE retinue_reader SET default_transaction_read_only = on;
            ALTER ROLE retinue_reader SET statement_timeout = '30s';
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the user % may not create the roles retinue_writer and retinue_reader',
        current_user
        USING ERRCODE = 'insufficient_privilege',
        HINT = format(
            'Let an administrator run ALTER ROLE %I CREATEROLE, or CREATE ROLE retinue_writer '
            'NOLOGIN and CREATE ROLE retinue_reader LOGIN, and migrate again', current_user
        );
END $$;

-- The worker's login is made a member: GRANT retinue_writer TO ….
GRANT SELECT, INSERT, UPDATE ON images, removals, runs, detections TO retinue_writer;
GRANT USAGE ON SEQUENCE
    removals_removal_id_seq, runs_run_id_seq, detections_detection_id_seq TO retinue_writer;

-- Analysts may read the tables too; only the views are promised to stay as they are.
GRANT SELECT ON images, removals, runs, detections TO retinue_reader;

GRANT SELECT ON
    detection_history, latest_detections, failed_runs, run_costs, alembic_version
    TO retinue_writer, retinue_reader;

COMMENT ON TABLE alembic_version IS 'Which revision the schema is at';
COMMENT ON COLUMN alembic_version.version_num IS 'The revision; written by Alembic';
