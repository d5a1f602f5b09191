-- The rights of the logins.

-- Roles belong to the cluster. Another database may have created them already, or be creating them now.
-- Then their settings stay as they are.
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
            CREATE ROLE retinue_reader LOGIN CONNECTION LIMIT 50;
            ALTER ROLE retinue_reader SET default_transaction_read_only = on;
            ALTER ROLE retinue_reader SET statement_timeout = '30s';
            ALTER ROLE retinue_reader SET idle_in_transaction_session_timeout = '1min';
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'retinue_reviewer') THEN
        BEGIN
            CREATE ROLE retinue_reviewer LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION
        'user % may not create the roles retinue_writer, retinue_reader and retinue_reviewer',
        current_user
        USING ERRCODE = 'insufficient_privilege',
        HINT = format(
            'Let an administrator run ALTER ROLE %I CREATEROLE, or CREATE ROLE retinue_writer '
            'NOLOGIN, CREATE ROLE retinue_reader LOGIN and CREATE ROLE retinue_reviewer LOGIN, '
            'and migrate again', current_user
        );
END $$;

-- A worker's login must be a member: GRANT retinue_writer TO ….
GRANT SELECT, INSERT, UPDATE ON images, removals TO retinue_writer;
GRANT SELECT ON runs, detections TO retinue_writer;
GRANT SELECT, UPDATE (place) ON record_locks TO retinue_writer;  -- locking a row takes both
GRANT EXECUTE ON FUNCTION record_runs TO retinue_writer;
GRANT SELECT, INSERT, UPDATE ON videos TO retinue_writer;
GRANT SELECT, INSERT, DELETE ON jobs TO retinue_writer;
GRANT UPDATE (
    attempt, token, provider_job_id, billing_group, expected_units, expected_usd, billed_units,
    reserved_at,
    started_at, hinted_at, look_at, holder, fence, claimed_at, lease_until, problem
) ON jobs TO retinue_writer;
GRANT SELECT, INSERT ON detector_configurations TO retinue_writer;
GRANT SELECT, INSERT, UPDATE ON configurations_in_use TO retinue_writer;
GRANT USAGE ON SEQUENCE removals_removal_id_seq TO retinue_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON quota_leases TO retinue_writer;
GRANT SELECT, INSERT, UPDATE ON quotas, monthly_spending, models, model_sessions TO retinue_writer;
GRANT SELECT ON run_counts, label_counts, labels, label_parents TO retinue_writer;
GRANT EXECUTE ON FUNCTION
    find_erased_images(uuid[], text[], text[], timestamptz[]), void_misread_runs(text[], text[])
    TO retinue_writer;

-- The console's second login: it can call these functions, and read nothing.
GRANT EXECUTE ON FUNCTION
    create_review_queue, close_review_queue, lease_next_image, release_lease, save_review_answer,
    undo_review_answer, read_review, settle_review, log_act, list_people
    TO retinue_reviewer;

-- Analysts may read the tables too, but only the views are stable.
GRANT SELECT ON
    images, videos, jobs, removals, runs, detections, detector_configurations,
    configurations_in_use,
    run_counts, label_counts, labels, label_parents, quotas, quota_leases, monthly_spending, models,
    model_sessions, erasures, archived_months,
    truths, truth_items, review_queues, review_images, review_leases, answers, answer_items, audit_log
    TO retinue_reader;

GRANT SELECT ON
    detection_history, latest_detections, failed_runs, run_costs, latest_runs, newest_runs,
    image_labels,
    label_counts_daily, drift, detector_versions, detector_agreement, skipped_runs, model_costs,
    video_timeline, open_jobs,
    alembic_version
    TO retinue_writer, retinue_reader;
GRANT SELECT ON ground_truth, standing_answers TO retinue_reader;

COMMENT ON TABLE alembic_version IS 'Which revision the schema is at';
COMMENT ON COLUMN alembic_version.version_num IS 'The revision; written by Alembic';
