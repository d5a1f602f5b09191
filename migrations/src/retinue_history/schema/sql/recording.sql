-- What workers record, in one call. Postgres plans the statements of a function once a connection;
-- planning them took longer than running them.

-- An image is deleted by each removal that came after its last creation and, in an unversioned
-- bucket, by each other image that replaced it. The result depends on the rows that exist, not on the
-- order in which they were recorded.
CREATE FUNCTION update_deleted_at(image_ids uuid[], buckets text[], keys text[]) RETURNS void
    LANGUAGE plpgsql
    -- A plan made while images is nearly empty must not scan all of it later.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    UPDATE images SET deleted_at = judged.deleted_at
    FROM (
        SELECT touched.image_id, least((
            SELECT min(removals.removed_at)
            FROM removals
            WHERE removals.bucket = touched.bucket
                AND removals.key = touched.key
                AND (removals.version IS NULL OR removals.version = touched.version)
                AND coalesce(
                    sequencer_rank(removals.sequencer) >= sequencer_rank(touched.sequencer),
                    removals.removed_at >= touched.last_uploaded_at
                )
        ), (
            SELECT min(newer.last_uploaded_at)
            FROM images AS newer
            WHERE newer.bucket = touched.bucket
                AND newer.key = touched.key
                AND NOT newer.versioned
                AND NOT touched.versioned
                AND coalesce(
                    sequencer_rank(newer.sequencer) > sequencer_rank(touched.sequencer),
                    newer.last_uploaded_at > touched.last_uploaded_at
                )
        )) AS deleted_at
        FROM images AS touched
        WHERE touched.image_id IN (
            SELECT unnest(image_ids)
            UNION
            SELECT images.image_id
            FROM unnest(buckets, keys) AS given (bucket, key)
            JOIN images ON images.bucket = given.bucket AND images.key = given.key
        )
    ) AS judged
    WHERE images.image_id = judged.image_id
        AND images.deleted_at IS DISTINCT FROM judged.deleted_at;
END $$;

COMMENT ON FUNCTION update_deleted_at(uuid[], text[], text[]) IS
    'Computes deleted_at of these images, and of all images of these keys, from what is recorded';

-- Several records of one image are merged with each other and with the existing row. Every rule is
-- independent of their order: the earliest, the latest, the first known value. Where DO UPDATE's
-- WHERE finds nothing to change, it locks the row and writes nothing.
CREATE FUNCTION record_images(
    stripes int[], exclusive boolean[], image_ids uuid[], buckets text[], keys text[],
    versions text[], are_versioned boolean[], etags text[], sizes_bytes bigint[],
    widths_px int[], heights_px int[], uploaded_ats timestamptz[], sequencers text[],
    removed_buckets text[], removed_keys text[], removed_versions text[],
    removed_sequencers text[], removed_ats timestamptz[]
) RETURNS void
    LANGUAGE plpgsql
    -- A plan made while removals is nearly empty must not scan all of it later.
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    locked text;
    added bigint;
    disputed boolean := cardinality(removed_keys) > 0 OR false = ANY (are_versioned);
BEGIN
    -- A removal must see every creation of its key that was committed before it, and vice versa.
    -- Snapshots alone don't guarantee that, and each statement here has its own. Creations share a
    -- lock, removals take it exclusively.
    FOR place IN 1 .. cardinality(stripes) LOOP
        IF exclusive[place] THEN
            locked := pg_advisory_xact_lock(1380275273, stripes[place]);  -- "RETI"
        ELSE
            locked := pg_advisory_xact_lock_shared(1380275273, stripes[place]);
        END IF;
    END LOOP;

    -- Most images are new and are inserted as they are.
    INSERT INTO images (
        image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
        uploaded_at, last_uploaded_at, sequencer
    )
    SELECT
        image_ids[n], buckets[n], keys[n], versions[n], are_versioned[n], etags[n], sizes_bytes[n],
        widths_px[n], heights_px[n], uploaded_ats[n], uploaded_ats[n], sequencers[n]
    FROM generate_series(1, cardinality(image_ids)) AS n
    ORDER BY image_ids[n]
    ON CONFLICT (image_id) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;

    -- The others, and an image that occurs twice, are merged into the existing rows.
    IF added < cardinality(image_ids) THEN
        INSERT INTO images AS known (
            image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
            uploaded_at, last_uploaded_at, sequencer
        )
        SELECT
            image_id, min(bucket), min(key), min(version), bool_or(versioned), min(etag),
            max(size_bytes),
            (array_agg(width_px ORDER BY width_px, height_px))[1],
            (array_agg(height_px ORDER BY width_px, height_px))[1],
            min(uploaded_at), max(uploaded_at),
            (array_agg(sequencer ORDER BY sequencer_rank(sequencer) DESC NULLS LAST))[1]
        FROM unnest(
            image_ids, buckets, keys, versions, are_versioned, etags, sizes_bytes, widths_px,
            heights_px, uploaded_ats, sequencers
        ) AS given (
            image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
            uploaded_at, sequencer
        )
        GROUP BY image_id
        ORDER BY image_id
        ON CONFLICT (image_id) DO UPDATE SET
            etag = coalesce(known.etag, excluded.etag),
            size_bytes = coalesce(known.size_bytes, excluded.size_bytes),
            width_px = coalesce(known.width_px, excluded.width_px),
            height_px = coalesce(known.height_px, excluded.height_px),
            uploaded_at = least(known.uploaded_at, excluded.uploaded_at),
            last_uploaded_at = greatest(known.last_uploaded_at, excluded.last_uploaded_at),
            sequencer = CASE
                WHEN sequencer_rank(known.sequencer) >= sequencer_rank(excluded.sequencer)
                THEN known.sequencer
                ELSE coalesce(excluded.sequencer, known.sequencer)
            END
        WHERE (known.etag IS NULL AND excluded.etag IS NOT NULL)
            OR (known.size_bytes IS NULL AND excluded.size_bytes IS NOT NULL)
            OR (known.width_px IS NULL AND excluded.width_px IS NOT NULL)
            OR excluded.uploaded_at < known.uploaded_at
            OR excluded.last_uploaded_at > known.last_uploaded_at
            OR (known.sequencer IS NULL AND excluded.sequencer IS NOT NULL)
            OR sequencer_rank(excluded.sequencer) > sequencer_rank(known.sequencer);
    END IF;

    IF cardinality(removed_keys) > 0 THEN
        INSERT INTO removals (bucket, key, version, sequencer, removed_at)
        SELECT bucket, key, version, sequencer, removed_at
        FROM unnest(
            removed_buckets, removed_keys, removed_versions, removed_sequencers, removed_ats
        ) AS given (bucket, key, version, sequencer, removed_at)
        ORDER BY bucket, key, version, sequencer, removed_at
        ON CONFLICT DO NOTHING;
    END IF;

    -- Only removals, and images that may have replaced another, can change deleted_at. Most do neither.
    IF NOT disputed THEN
        disputed := EXISTS (
            SELECT FROM unnest(buckets, keys) AS given (bucket, key)
            CROSS JOIN LATERAL (
                SELECT FROM removals
                WHERE removals.bucket = given.bucket AND removals.key = given.key
                LIMIT 1  -- makes it an index lookup for each row
            ) AS removed
        );
    END IF;
    IF NOT disputed AND added < cardinality(image_ids) THEN
        disputed := EXISTS (
            SELECT FROM unnest(image_ids) AS given (image_id)
            CROSS JOIN LATERAL (
                SELECT FROM images
                WHERE images.image_id = given.image_id AND deleted_at IS NOT NULL
                LIMIT 1
            ) AS deleted
        );
    END IF;
    IF disputed THEN
        PERFORM update_deleted_at(
            image_ids,
            removed_buckets || ARRAY(
                SELECT bucket FROM unnest(buckets, are_versioned) AS given (bucket, versioned)
                WHERE NOT versioned
            ),
            removed_keys || ARRAY(
                SELECT key FROM unnest(keys, are_versioned) AS given (key, versioned)
                WHERE NOT versioned
            )
        );
    END IF;
END $$;

COMMENT ON FUNCTION record_images(
    int[], boolean[], uuid[], text[], text[], text[], boolean[], text[], bigint[], int[], int[],
    timestamptz[], text[], text[], text[], text[], text[], timestamptz[]
) IS 'Records images and removals, given as one array a column';

CREATE FUNCTION find_done_and_erased(
    image_ids uuid[], detectors text[], detector_versions text[], fingerprints text[],
    event_ids text[], uploaded_ids uuid[], buckets text[], keys text[], uploaded_ats timestamptz[],
    OUT done int[], OUT erased uuid[]
)
    LANGUAGE plpgsql STABLE
    -- An index lookup for each key, however small the table was when this was planned.
    SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    done := ARRAY(
        SELECT n FROM generate_series(1, cardinality(event_ids)) AS n
        WHERE EXISTS (
            SELECT FROM runs
            WHERE runs.image_id = image_ids[n]
                AND runs.detector = detectors[n]
                AND runs.detector_version = detector_versions[n]
                AND runs.fingerprint = fingerprints[n]
                AND (
                    runs.outcome = 'succeeded'
                    -- A replay retries even an image that was found to be bad.
                    OR (NOT runs.retryable AND NOT starts_with(event_ids[n], 'replay:'))
                    OR runs.event_id = event_ids[n]
                )
        )
    );
    erased := ARRAY(SELECT find_erased_images(uploaded_ids, buckets, keys, uploaded_ats));
END $$;

COMMENT ON FUNCTION find_done_and_erased(
    uuid[], text[], text[], text[], text[], uuid[], text[], text[], timestamptz[]
) IS
    'Which tasks, by their positions from 1, need no work because their run key is done, and which '
    'images were erased after these uploads';

CREATE FUNCTION existing_run_ids(given bigint[]) RETURNS bigint[]
    LANGUAGE sql STABLE
    -- An index lookup for each id, however small the table was when this was planned.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT array_agg(runs.run_id ORDER BY number)
        FROM unnest(given) WITH ORDINALITY AS one (run_id, number)
        LEFT JOIN runs ON runs.run_id = one.run_id;
    END;

COMMENT ON FUNCTION existing_run_ids(bigint[]) IS
    'These run ids, with null in place of those that do not exist';

CREATE FUNCTION inserted_detections(
    kept bigint[], started_ats timestamptz[], of_runs int[], ordinals int[]
) RETURNS int[]
    LANGUAGE sql STABLE
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT array_agg(CASE WHEN detections.run_id IS NOT NULL THEN of_run END ORDER BY number)
        FROM unnest(of_runs, ordinals) WITH ORDINALITY AS given (of_run, ordinal, number)
        LEFT JOIN detections
            ON detections.run_id = kept[of_run]
            AND detections.ordinal = given.ordinal
            AND detections.detected_at = started_ats[of_run];
    END;

COMMENT ON FUNCTION inserted_detections(bigint[], timestamptz[], int[], int[]) IS
    'of_runs, with null in place of each detection that does not exist';

-- Rows are sorted by their key before they are written, so that two workers with overlapping rows lock
-- them in the same order and can't deadlock.
CREATE FUNCTION record_runs(
    image_ids uuid[], detectors text[], detector_versions text[], fingerprints text[],
    event_ids text[], outcomes text[], retryables boolean[], error_codes text[],
    error_messages text[], model_versions text[], started_ats timestamptz[],
    durations_ms double precision[], detection_counts int[], billed_units numeric[],
    prices_usd numeric[], raw_responses jsonb, saved_usds numeric[],
    of_runs int[], ordinals int[], kinds text[], labels text[], confidences double precision[],
    lefts double precision[], tops double precision[], widths double precision[],
    heights double precision[], all_attributes jsonb,
    charged_runs int[], charged_months date[], charged_groups text[], charged_units numeric[],
    charged_usds numeric[]
) RETURNS bigint[]
    -- With its owner's rights: a worker can add detections, but can't change a count.
    LANGUAGE plpgsql SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    kept bigint[];
    added bigint;
    attributes jsonb[] := ARRAY(SELECT jsonb_array_elements(all_attributes));
BEGIN
    -- Ids are assigned first, so that an id that exists afterwards tells which run was inserted.
    FOR run IN 1 .. cardinality(event_ids) LOOP
        kept[run] := nextval('runs_run_id_seq');
    END LOOP;

    -- Without a conflict target, because two constraints apply: one run an event, and one success a
    -- run key.
    INSERT INTO runs (
        run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, retryable,
        error_code, error_message, model_version, started_at, duration_ms, detection_count,
        billed_units, price_usd, raw_response, saved_usd
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        kept[n], image_ids[n], detectors[n], detector_versions[n], fingerprints[n], event_ids[n],
        outcomes[n], retryables[n], error_codes[n], error_messages[n], model_versions[n],
        started_ats[n], durations_ms[n], detection_counts[n], billed_units[n],
        prices_usd[n], nullif(raw_responses -> (n - 1), 'null'), saved_usds[n]
    FROM generate_series(1, cardinality(event_ids)) AS n
    ORDER BY
        image_ids[n], detectors[n], detector_versions[n], fingerprints[n], outcomes[n] DESC,
        event_ids[n]
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added = 0 THEN
        RETURN array_fill(NULL::bigint, ARRAY[cardinality(event_ids)]);
    ELSIF added < cardinality(kept) THEN
        kept := existing_run_ids(kept);
    END IF;

    IF cardinality(of_runs) > 0 THEN
        INSERT INTO detections (
            run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
            box_height, attributes, detected_at
        )
        SELECT
            kept[of_runs[n]], image_ids[of_runs[n]], ordinals[n], kinds[n], labels[n],
            confidences[n], lefts[n], tops[n], widths[n], heights[n], attributes[n],
            started_ats[of_runs[n]]
        FROM generate_series(1, cardinality(of_runs)) AS n
        WHERE kept[of_runs[n]] IS NOT NULL;
        GET DIAGNOSTICS added = ROW_COUNT;
        -- Fewer where a run was recorded before, or where a trigger withheld an erased person.
        IF added < cardinality(of_runs) THEN
            of_runs := inserted_detections(kept, started_ats, of_runs, ordinals);
        END IF;
        PERFORM count_detections(
            of_runs, started_ats, detectors, detector_versions, model_versions, kinds, labels,
            confidences, attributes
        );
    END IF;

    -- Last, because all workers add to the same rows and should hold their locks briefly.
    IF cardinality(charged_runs) > 0 THEN
        INSERT INTO monthly_spending AS known (
            month, detector, billing_group, billed_units, price_usd
        )
        SELECT month, detectors[of_run], billing_group, sum(billed_units), sum(price_usd)
        FROM unnest(charged_runs, charged_months, charged_groups, charged_units, charged_usds)
            AS given (of_run, month, billing_group, billed_units, price_usd)
        WHERE kept[of_run] IS NOT NULL
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3
        ON CONFLICT (month, detector, billing_group) DO UPDATE SET
            billed_units = known.billed_units + excluded.billed_units,
            price_usd = known.price_usd + excluded.price_usd;
    END IF;
    RETURN kept;
END $$;

COMMENT ON FUNCTION record_runs(
    uuid[], text[], text[], text[], text[], text[], boolean[], text[], text[], text[],
    timestamptz[], double precision[], int[], numeric[], numeric[], jsonb, numeric[],
    int[], int[], text[], text[], double precision[], double precision[], double precision[],
    double precision[], double precision[], jsonb, int[], date[], text[], numeric[], numeric[]
) IS
    'Records runs with their detections and charges, given as one array a column. Columns of JSON are '
    'JSON arrays, which are faster to read than jsonb[]. of_runs and '
    'charged_runs are positions of runs, from 1. Returns the run ids in the order of the runs, null '
    'for those that were recorded before';

-- A caller's search_path must not redirect the function to other tables of the same names.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION record_runs SET search_path = %I, pg_temp', current_schema()
    );
END $$;

REVOKE ALL ON FUNCTION record_runs FROM PUBLIC;
