-- The locks of writers are rows, because every login can take advisory locks and only a superuser can
-- forbid that. Only retinue_writer and the owner may lock these.

INSERT INTO record_locks (purpose, place)
SELECT 'key', place FROM generate_series(0, 4095) AS place
UNION ALL
-- Sessions use different places. A row that two transactions lock needs a multixact.
SELECT 'erasure', place FROM generate_series(0, 63) AS place
UNION ALL
SELECT 'job', place FROM generate_series(0, 63) AS place;

CREATE FUNCTION share_erasure_lock() RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM record_locks
    WHERE purpose = 'erasure' AND place = pg_backend_pid() % 64
    FOR KEY SHARE;
END $$;

COMMENT ON FUNCTION share_erasure_lock() IS
    'Makes an erasure wait until this transaction has ended';
