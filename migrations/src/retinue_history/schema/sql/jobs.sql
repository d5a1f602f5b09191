-- Videos, and jobs of services that process them. A transaction locks rows of images first, then of jobs,
-- then of runs, and of monthly_spending last, so that two can't deadlock.

CREATE FUNCTION record_videos(videos jsonb, jobs jsonb) RETURNS void
    LANGUAGE plpgsql
    -- A plan made while a table is nearly empty must not scan all of it later.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    -- Withheld images aren't there. The lock waits for the run that replaces a job, and keeps the
    -- images from being erased meanwhile.
    present uuid[] := ARRAY(
        SELECT images.image_id FROM images
        WHERE images.image_id IN (
            SELECT (given ->> 'image_id')::uuid
            FROM jsonb_array_elements(record_videos.videos || record_videos.jobs) AS given
        )
        ORDER BY images.image_id
        FOR NO KEY UPDATE
    );
BEGIN
    INSERT INTO videos AS known (
        image_id, duration_ms, frame_rate, codec, container, rotation_degrees
    )
    SELECT DISTINCT ON (given.image_id) given.*
    FROM jsonb_to_recordset(record_videos.videos) AS given (
        image_id uuid, duration_ms bigint, frame_rate double precision, codec text, container text,
        rotation_degrees int
    )
    WHERE given.image_id = ANY (present)
    ORDER BY
        given.image_id,
        num_nonnulls(given.duration_ms, given.frame_rate, given.codec, given.container) DESC, given
    ON CONFLICT (image_id) DO UPDATE SET
        duration_ms = excluded.duration_ms,
        frame_rate = excluded.frame_rate,
        codec = excluded.codec,
        container = excluded.container,
        rotation_degrees = excluded.rotation_degrees
    WHERE num_nonnulls(
            excluded.duration_ms, excluded.frame_rate, excluded.codec, excluded.container
        ) > num_nonnulls(known.duration_ms, known.frame_rate, known.codec, known.container);

    INSERT INTO jobs (
        image_id, detector, detector_version, fingerprint, event_id, job_group, earlier_failures,
        token
    )
    SELECT
        wanted.image_id, wanted.detector, wanted.detector_version, wanted.fingerprint,
        wanted.event_id, wanted.job_group, earlier.failures,
        job_token(
            wanted.image_id, wanted.detector, wanted.detector_version, wanted.fingerprint,
            earlier.failures, 1
        )
    FROM jsonb_to_recordset(record_videos.jobs) AS wanted (
        image_id uuid, detector text, detector_version text, fingerprint text, event_id text,
        job_group text
    )
    JOIN images ON images.image_id = wanted.image_id AND images.image_id = ANY (present)
    CROSS JOIN LATERAL find_done_and_erased(
        ARRAY[wanted.image_id], ARRAY[wanted.detector], ARRAY[wanted.detector_version],
        ARRAY[wanted.fingerprint], ARRAY[wanted.event_id],
        ARRAY[images.image_id], ARRAY[images.bucket], ARRAY[images.key],
        ARRAY[images.last_uploaded_at]
    ) AS answer
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS failures FROM runs
        WHERE runs.image_id = wanted.image_id
            AND runs.detector = wanted.detector
            AND runs.detector_version = wanted.detector_version
            AND runs.fingerprint = wanted.fingerprint
            AND runs.outcome = 'failed'
    ) AS earlier
    WHERE answer.done = '{}' AND answer.erased = '{}'
    ORDER BY
        wanted.image_id, wanted.detector, wanted.detector_version, wanted.fingerprint
    ON CONFLICT DO NOTHING;
END $$;

COMMENT ON FUNCTION record_videos(jsonb, jsonb) IS
    'Records facts of videos, and wanted jobs, each given as an array of objects. Leaves out jobs that '
    'are open, whose run key needs no work, or whose image is not there. Of the facts of one video, '
    'those that tell most count';

CREATE FUNCTION job_usd(job jobs) RETURNS numeric
    LANGUAGE sql STABLE
    RETURN CASE WHEN (job).reserved_at IS NULL THEN 0 ELSE (job).expected_usd END
        + coalesce((job).billed_units * (job).expected_usd / nullif((job).expected_units, 0), 0);

COMMENT ON FUNCTION job_usd(jobs) IS
    'The cost of an open job in US dollars: of its failed attempts, and what it will probably cost if '
    'it is under way';

CREATE FUNCTION reserve_job_slot(
    job bigint, worker text, claim bigint, slots int, budget_usd numeric, billing_group text,
    units numeric, usd numeric
) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    wanted jobs;
BEGIN
    SELECT * INTO wanted FROM jobs
    WHERE jobs.job_id = job AND jobs.fence = claim AND jobs.holder = worker
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF wanted.reserved_at IS NOT NULL THEN
        RETURN 'granted';  -- the service may have the job already
    END IF;
    UPDATE jobs SET
        billing_group = reserve_job_slot.billing_group, expected_units = units, expected_usd = usd
    WHERE jobs.job_id = job;
    -- The statements that follow see earlier reservations under the lock.
    PERFORM FROM record_locks
    WHERE purpose = 'job' AND place = hashtext(wanted.job_group) & 63
    FOR UPDATE;
    IF slots <= (
        SELECT count(*) FROM jobs
        WHERE jobs.job_group = wanted.job_group AND jobs.reserved_at IS NOT NULL
    ) THEN
        RETURN 'no_slot';
    END IF;
    -- In one statement, because a job that ends moves its cost from the one sum to the other.
    IF budget_usd < usd + (
        SELECT coalesce(sum(spent.price_usd), 0) FROM monthly_spending AS spent
        WHERE spent.month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
            AND spent.detector = wanted.detector
    ) + (
        SELECT coalesce(sum(job_usd(open)), 0) FROM jobs AS open
        WHERE open.detector = wanted.detector
    ) THEN
        RETURN 'no_budget';
    END IF;
    UPDATE jobs SET reserved_at = clock_timestamp() WHERE jobs.job_id = job;
    RETURN 'granted';
END $$;

COMMENT ON FUNCTION reserve_job_slot(bigint, text, bigint, int, numeric, text, numeric, numeric) IS
    'Takes a slot of the job''s group and its expected cost of the month''s budget: granted, no_slot, '
    'no_budget; null if the claim is no longer the worker''s. All slots and all costs under way count';

CREATE FUNCTION drop_jobs(dropped bigint[]) RETURNS bigint
    LANGUAGE sql
    -- The provider bills a job that is under way, although nothing will ask for its result.
    BEGIN ATOMIC
        WITH gone AS (
            DELETE FROM jobs WHERE job_id = ANY (dropped) RETURNING *
        ), charged AS (
            INSERT INTO monthly_spending AS known (
                month, detector, billing_group, billed_units, price_usd
            )
            SELECT
                date_trunc('month', coalesce(reserved_at, now()) AT TIME ZONE 'UTC')::date, detector,
                billing_group,
                sum(billed_units + CASE WHEN reserved_at IS NULL THEN 0 ELSE expected_units END),
                sum(job_usd(ROW(gone.*)::jobs))
            FROM gone
            WHERE reserved_at IS NOT NULL OR billed_units > 0
            GROUP BY 1, 2, 3
            ORDER BY 1, 2, 3
            ON CONFLICT (month, detector, billing_group) DO UPDATE SET
                billed_units = known.billed_units + excluded.billed_units,
                price_usd = known.price_usd + excluded.price_usd
        )
        SELECT count(*) FROM gone;
    END;

COMMENT ON FUNCTION drop_jobs(bigint[]) IS
    'Deletes jobs whose result is no longer needed, and adds the cost of their failed attempts and '
    'the expected cost of those under way to monthly_spending. Returns how many there were';
