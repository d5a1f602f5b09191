-- Constraints that tables call. Postgres reads and plans the text of each CHECK for each statement, which
-- took a twentieth of the instructions of a commit of one image. A call is short, and a function is
-- planned once a session.

CREATE FUNCTION check_run(
    outcome text, retryable boolean, error_code text, error_message text, saved_usd numeric,
    duration_ms double precision, detection_count integer, billed_units numeric, price_usd numeric
) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    -- NaN compares as the greatest number, and would make every sum NaN.
    problem text := CASE
        WHEN outcome NOT IN ('succeeded', 'failed', 'skipped')
            THEN 'outcome must be succeeded, failed or skipped'
        WHEN outcome = 'succeeded' AND retryable THEN 'a success is not retryable'
        WHEN outcome = 'skipped' AND NOT retryable THEN 'a skip is retryable'
        WHEN num_nulls(error_code, error_message) <> CASE outcome WHEN 'succeeded' THEN 2 ELSE 0 END
            THEN 'error_code and error_message must be null for a success, and not null otherwise'
        WHEN (saved_usd IS NOT NULL) <> (outcome = 'skipped')
            THEN 'saved_usd must be null unless it was skipped'
        WHEN NOT (saved_usd >= 0 AND saved_usd < 'Infinity')
            THEN 'saved_usd must be finite and at least 0'
        WHEN NOT (duration_ms >= 0 AND duration_ms < 'Infinity')
            THEN 'duration_ms must be finite and at least 0'
        WHEN detection_count < 0 THEN 'detection_count must be at least 0'
        WHEN NOT (billed_units >= 0 AND billed_units < 'Infinity')
            THEN 'billed_units must be finite and at least 0'
        WHEN NOT (price_usd >= 0 AND price_usd < 'Infinity')
            THEN 'price_usd must be finite and at least 0'
    END;
BEGIN
    IF problem IS NULL THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'a run is impossible: %', problem USING ERRCODE = 'check_violation';
END $$;

COMMENT ON FUNCTION check_run(
    text, boolean, text, text, numeric, double precision, integer, numeric, numeric
) IS
    'True, or an error that says what is impossible. Numbers are finite and at least 0. A success has no '
    'error and is not retryable. A failure or skip has an error_code and error_message. A skip is '
    'retryable, and it alone has saved_usd';
