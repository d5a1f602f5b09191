DROP VIEW run_costs, failed_runs, latest_detections, detection_history;
DROP TABLE detections, runs, removals, images;
DROP FUNCTION sequencer_rank(text);
DROP FUNCTION image_id(text, text, text);

REVOKE ALL ON alembic_version FROM retinue_writer, retinue_reader;

-- A role stays while another database of the cluster grants it something, while a login is a member
-- of it (dropping would silently undo that), or while we may not drop it.
DO $$
DECLARE
    retinue_role record;
BEGIN
    FOR retinue_role IN
        SELECT oid, rolname FROM pg_roles WHERE rolname IN ('retinue_writer', 'retinue_reader')
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_auth_members AS membership
            JOIN pg_roles AS member ON member.oid = membership.member
            WHERE membership.roleid = retinue_role.oid AND member.rolname <> current_user
        );
        BEGIN
            EXECUTE format('DROP ROLE %I', retinue_role.rolname);
        EXCEPTION
            WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use
                OR undefined_object THEN NULL;
        END;
    END LOOP;
END $$;
