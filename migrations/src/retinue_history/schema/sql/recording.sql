-- The recording of workers, in one call. Postgres plans the statements of a function once a connection;
-- planning them took longer than running them.

-- Compressing raw responses with pglz takes a tenth of the instructions of a commit of 100 images. lz4
-- takes a tenth of that, but PostgreSQL can be built without it.
DO $$
BEGIN
    ALTER TABLE runs ALTER COLUMN raw_response SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN NULL;
END $$;

-- Whether an image still exists follows from the rows that exist, not from the order in which they
-- were recorded. The functions below say how.

-- Some of S3's look-alikes send one sequencer with every event. Where sequencers tie, times decide.
CREATE FUNCTION came_after(
    sequencer text, happened_at timestamptz, other_sequencer text, other_happened_at timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(
        ROW(sequencer_rank(sequencer), happened_at)
            > ROW(sequencer_rank(other_sequencer), other_happened_at),
        happened_at > other_happened_at
    );

COMMENT ON FUNCTION came_after(text, timestamptz, text, timestamptz) IS
    'Whether an event of a key came after another: by their sequencers and then their times; by '
    'their times alone if one has no sequencer';

CREATE FUNCTION is_marker_gone(marker removals) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN EXISTS (
        SELECT FROM removals AS later
        WHERE later.bucket = marker.bucket
            AND later.key = marker.key
            AND later.version = marker.delete_marker
            AND (
                marker.delete_marker <> 'null'
                OR came_after(
                    later.sequencer, later.removed_at, marker.sequencer, marker.removed_at
                )
            )
    ) OR EXISTS (
        SELECT FROM images AS other
        WHERE other.bucket = marker.bucket
            AND other.key = marker.key
            AND CASE
                WHEN came_after(
                    other.sequencer, other.last_uploaded_at, marker.sequencer, marker.removed_at
                )
                -- A null version takes the place of a null marker.
                THEN marker.delete_marker = 'null' AND NOT other.versioned
                -- S3 served the object that the marker had hidden.
                ELSE other.served_at >= marker.removed_at
            END
    );

COMMENT ON FUNCTION is_marker_gone(removals) IS
    'Whether a delete marker hides the versions below it no longer';

CREATE FUNCTION update_deleted_at(image_ids uuid[], buckets text[], keys text[]) RETURNS void
    LANGUAGE plpgsql
    -- A plan made while images is nearly empty must not scan all of it later.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    UPDATE images SET deleted_at = judged.deleted_at
    FROM (
        SELECT touched.image_id, least((
            -- Removed after its last creation, and after S3 was last seen to serve it.
            SELECT min(removals.removed_at)
            FROM removals
            WHERE removals.bucket = touched.bucket
                AND removals.key = touched.key
                AND NOT came_after(
                    touched.sequencer, touched.last_uploaded_at,
                    removals.sequencer, removals.removed_at
                )
                AND (touched.served_at IS NULL OR removals.removed_at > touched.served_at)
                AND CASE
                    WHEN removals.version = 'null' THEN NOT touched.versioned
                    WHEN removals.version <> touched.version THEN false
                    WHEN removals.version IS NOT NULL THEN
                        -- A null version that a worker couldn't find may have been below a marker
                        -- or another version, which is gone since.
                        touched.versioned OR NOT EXISTS (
                            SELECT FROM removals AS later
                            WHERE later.bucket = removals.bucket
                                AND later.key = removals.key
                                AND later.version <> 'null'
                                AND later.removed_at >= removals.removed_at
                                AND NOT EXISTS (
                                    SELECT FROM images AS other
                                    WHERE other.bucket = later.bucket
                                        AND other.key = later.key
                                        AND other.version = later.version
                                        AND NOT other.versioned
                                )
                        )
                    -- A null marker also takes the null version's place, permanently.
                    WHEN removals.delete_marker = 'null' AND NOT touched.versioned THEN true
                    ELSE NOT is_marker_gone(removals)
                END
        ), (
            -- Replaced by another upload: there is one null version.
            SELECT min(CASE WHEN newer.last_uploaded_at > touched.last_uploaded_at
                THEN newer.last_uploaded_at ELSE coalesce(newer.served_at, newer.last_uploaded_at)
            END)
            FROM images AS newer
            WHERE newer.bucket = touched.bucket
                AND newer.key = touched.key
                AND NOT newer.versioned
                AND NOT touched.versioned
                AND newer.image_id <> touched.image_id
                AND (
                    newer.served_at > greatest(touched.last_uploaded_at, touched.served_at)
                    OR (
                        came_after(
                            newer.sequencer, newer.last_uploaded_at,
                            touched.sequencer, touched.last_uploaded_at
                        )
                        AND (
                            touched.served_at IS NULL
                            OR newer.last_uploaded_at > touched.served_at
                        )
                    )
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
    'Computes deleted_at of these images, and of all images of these keys, from recorded events';

CREATE FUNCTION uploads_of(image images) RETURNS timestamptz[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (image).uploaded_ats || ARRAY[(image).uploaded_at, (image).last_uploaded_at];

COMMENT ON FUNCTION uploads_of(images) IS
    'When S3 created an image, as far as is known; in no order, some times twice';

-- A detector that reads an unversioned object by its key reads the current object. That was
-- the image if nothing else was uploaded between its last upload before the call and the call's end.
CREATE FUNCTION may_have_read(
    other images, image images, started_at timestamptz, duration_ms double precision
) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    -- A version that is gone hides the null version no longer.
    RETURN NOT coalesce((other).versioned AND (other).deleted_at <= started_at, false)
        AND EXISTS (
            SELECT
            FROM (
                -- The worker's clock may be behind S3's.
                SELECT coalesce(max(at) FILTER (WHERE at <= started_at), min(at))
                FROM unnest(uploads_of(image)) AS at
            ) AS mine (at), unnest(uploads_of(other)) AS theirs (at)
            WHERE theirs.at <= started_at + make_interval(secs => duration_ms / 1000)
                AND (
                    theirs.at > mine.at
                    OR theirs.at = mine.at AND NOT came_after(
                        (image).sequencer, (image).last_uploaded_at,
                        (other).sequencer, (other).last_uploaded_at
                    )
                )
        );

COMMENT ON FUNCTION may_have_read(images, images, timestamptz, double precision) IS
    'Whether a call that named a key without a version may have read another image than the one '
    'that was meant';

CREATE FUNCTION find_misread_runs(
    image_ids uuid[], started_ats timestamptz[], durations_ms double precision[]
) RETURNS int[]
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT n
        FROM generate_series(1, cardinality(image_ids)) AS n
        CROSS JOIN LATERAL (
            SELECT image FROM images AS image WHERE image.image_id = image_ids[n]
            OFFSET 0  -- makes it an index lookup for each row
        ) AS mine
        CROSS JOIN LATERAL (
            SELECT other FROM images AS other
            WHERE other.bucket = (mine.image).bucket
                AND other.key = (mine.image).key
                AND other.image_id <> (mine.image).image_id
            OFFSET 0
        ) AS theirs
        WHERE may_have_read(theirs.other, mine.image, started_ats[n], durations_ms[n])
    );
END $$;

COMMENT ON FUNCTION find_misread_runs(uuid[], timestamptz[], double precision[]) IS
    'The positions of those of these calls by key that may have read another image';

-- The object of a call by key can become known after its run was recorded.
CREATE FUNCTION void_misread_runs(buckets text[], keys text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    misread bigint[] := ARRAY(
        SELECT DISTINCT found.run_id
        FROM unnest(buckets, keys) AS given (bucket, key)
        CROSS JOIN LATERAL (
            SELECT image FROM images AS image
            WHERE image.bucket = given.bucket AND image.key = given.key AND NOT image.versioned
            OFFSET 0  -- makes it an index lookup for each row
        ) AS mine
        CROSS JOIN LATERAL (
            SELECT other FROM images AS other
            WHERE other.bucket = given.bucket
                AND other.key = given.key
                AND other.image_id <> (mine.image).image_id
            OFFSET 0
        ) AS theirs
        CROSS JOIN LATERAL (
            SELECT run_id FROM runs
            WHERE runs.image_id = (mine.image).image_id
                AND runs.read_by_key
                AND runs.outcome = 'succeeded'
                AND may_have_read(theirs.other, mine.image, runs.started_at, runs.duration_ms)
            OFFSET 0
        ) AS found
        ORDER BY found.run_id
    );
BEGIN
    IF misread = '{}' THEN
        RETURN;
    END IF;
    DELETE FROM detections USING runs
    WHERE runs.run_id = ANY (misread)
        AND detections.run_id = runs.run_id
        AND detections.detected_at = runs.started_at;
    UPDATE runs SET
        outcome = 'failed',
        retryable = true,
        error_code = 'object_replaced',
        error_message = 'another upload may have been read: it took the object''s place before the '
            'call ended',
        detection_count = 0,
        raw_response = NULL
    WHERE run_id = ANY (misread);
END $$;

COMMENT ON FUNCTION void_misread_runs(text[], text[]) IS
    'Turns successes by key that may have read another image into failures, object_replaced';

-- Workers may not delete detections. A function with its owner's rights must not find tables that
-- another user created.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION void_misread_runs(text[], text[]) SET search_path = pg_catalog, %I, pg_temp',
        current_schema()
    );
END $$;
REVOKE ALL ON FUNCTION void_misread_runs(text[], text[]) FROM PUBLIC;

-- Several records of one image are merged with each other and with the existing row. Every rule is
-- independent of their order: the earliest, the latest, the first known value. Where DO UPDATE's
-- WHERE finds nothing to change, it locks the row and writes nothing.
CREATE FUNCTION record_images(
    stripes int[], exclusive boolean[], image_ids uuid[], buckets text[], keys text[],
    versions text[], are_versioned boolean[], etags text[], sizes_bytes bigint[],
    widths_px int[], heights_px int[], uploaded_ats timestamptz[], sequencers text[],
    served_ats timestamptz[], removed jsonb
) RETURNS void
    LANGUAGE plpgsql
    -- A plan made while removals is nearly empty must not scan all of it later.
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    added bigint;
    -- Keys of which other images can be concerned.
    disputed_buckets text[];
    disputed_keys text[];
    disputed boolean := removed <> '[]'
        OR false = ANY (are_versioned)
        OR num_nonnulls(VARIADIC served_ats) > 0;
BEGIN
    -- A removal must see every creation of its key that was committed before it, and vice versa.
    -- Snapshots alone don't guarantee that, and each statement here has its own. Creations share a
    -- lock, removals take it exclusively.
    IF true = ANY (exclusive) THEN
        FOR n IN 1 .. cardinality(stripes) LOOP
            IF exclusive[n] THEN
                PERFORM FROM record_locks WHERE purpose = 'key' AND place = stripes[n] FOR UPDATE;
            ELSE
                PERFORM FROM record_locks WHERE purpose = 'key' AND place = stripes[n]
                FOR KEY SHARE;
            END IF;
        END LOOP;
    ELSE
        PERFORM FROM record_locks WHERE purpose = 'key' AND place = ANY (stripes)
        ORDER BY place FOR KEY SHARE;
    END IF;

    -- Most images are new and are inserted as they are.
    INSERT INTO images (
        image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
        uploaded_at, last_uploaded_at, sequencer, served_at
    )
    SELECT
        image_ids[n], buckets[n], keys[n], versions[n], are_versioned[n], etags[n], sizes_bytes[n],
        widths_px[n], heights_px[n], uploaded_ats[n], uploaded_ats[n], sequencers[n],
        served_ats[n]
    FROM generate_series(1, cardinality(image_ids)) AS n
    ORDER BY image_ids[n]
    ON CONFLICT (image_id) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;

    -- The others, and an image that occurs twice, are merged into the existing rows.
    IF added < cardinality(image_ids) THEN
        INSERT INTO images AS known (
            image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
            uploaded_at, last_uploaded_at, uploaded_ats, sequencer, served_at
        )
        SELECT
            image_id, min(bucket), min(key), min(version), bool_or(versioned), min(etag),
            max(size_bytes),
            (array_agg(width_px ORDER BY width_px, height_px))[1],
            (array_agg(height_px ORDER BY width_px, height_px))[1],
            min(uploaded_at), max(uploaded_at),
            CASE WHEN NOT bool_or(versioned) THEN array_agg(DISTINCT uploaded_at) END,
            (array_agg(sequencer ORDER BY sequencer_rank(sequencer) DESC NULLS LAST))[1],
            max(served_at)
        FROM unnest(
            image_ids, buckets, keys, versions, are_versioned, etags, sizes_bytes, widths_px,
            heights_px, uploaded_ats, sequencers, served_ats
        ) AS given (
            image_id, bucket, key, version, versioned, etag, size_bytes, width_px, height_px,
            uploaded_at, sequencer, served_at
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
            uploaded_ats = CASE WHEN NOT known.versioned THEN ARRAY(
                SELECT DISTINCT at
                FROM unnest(uploads_of(known) || excluded.uploaded_ats) AS at
                ORDER BY at DESC
                LIMIT 100
            ) END,
            sequencer = CASE
                WHEN sequencer_rank(known.sequencer) >= sequencer_rank(excluded.sequencer)
                THEN known.sequencer
                ELSE coalesce(excluded.sequencer, known.sequencer)
            END,
            served_at = greatest(known.served_at, excluded.served_at)
        WHERE (known.etag IS NULL AND excluded.etag IS NOT NULL)
            OR (known.size_bytes IS NULL AND excluded.size_bytes IS NOT NULL)
            OR (known.width_px IS NULL AND excluded.width_px IS NOT NULL)
            OR excluded.uploaded_at < known.uploaded_at
            OR excluded.last_uploaded_at > known.last_uploaded_at
            OR NOT excluded.uploaded_ats <@ uploads_of(known)
            OR (known.sequencer IS NULL AND excluded.sequencer IS NOT NULL)
            OR sequencer_rank(excluded.sequencer) > sequencer_rank(known.sequencer)
            OR excluded.served_at > coalesce(known.served_at, '-infinity');
    END IF;

    IF removed <> '[]' THEN
        INSERT INTO removals (bucket, key, version, delete_marker, sequencer, removed_at)
        SELECT bucket, key, version, delete_marker, sequencer, removed_at
        FROM jsonb_to_recordset(removed) AS given (
            bucket text, key text, version text, delete_marker text, sequencer text,
            removed_at timestamptz
        )
        ORDER BY bucket, key, version, delete_marker, sequencer, removed_at
        ON CONFLICT DO NOTHING;
    END IF;

    -- Only removals, images that may have replaced another, and images that S3 was seen to serve can
    -- change deleted_at. Most do none of that.
    IF NOT disputed THEN
        disputed := EXISTS (
            SELECT FROM generate_series(1, cardinality(keys)) AS n
            CROSS JOIN LATERAL (
                SELECT FROM removals WHERE bucket = buckets[n] AND key = keys[n]
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
        SELECT array_agg(bucket), array_agg(key) INTO disputed_buckets, disputed_keys
        FROM (
            SELECT bucket, key
            FROM unnest(buckets, keys, are_versioned, served_ats)
                AS given (bucket, key, versioned, served_at)
            WHERE NOT versioned OR served_at IS NOT NULL
            UNION
            SELECT bucket, key FROM jsonb_to_recordset(removed) AS given (bucket text, key text)
        ) AS given;
        PERFORM update_deleted_at(image_ids, disputed_buckets, disputed_keys);
        IF false = ANY (are_versioned) THEN
            PERFORM void_misread_runs(disputed_buckets, disputed_keys);
        END IF;
    END IF;
END $$;

COMMENT ON FUNCTION record_images(
    int[], boolean[], uuid[], text[], text[], text[], boolean[], text[], bigint[], int[], int[],
    timestamptz[], text[], timestamptz[], jsonb
) IS
    'Records images, given as one array a column, and removals, given as an array of objects';

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
    erased := find_erased_images(uploaded_ids, buckets, keys, uploaded_ats);
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
    'These run ids, with null for each that doesn''t exist';

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
    'of_runs, with null for each detection that doesn''t exist';

-- Rows are sorted by their key before they are written, so that two workers with overlapping rows lock
-- them in the same order and can't deadlock.
CREATE FUNCTION record_runs(
    image_ids uuid[], detectors text[], detector_versions text[], fingerprints text[],
    event_ids text[], outcomes text[], retryables boolean[], error_codes text[],
    error_messages text[], model_versions text[], started_ats timestamptz[],
    durations_ms double precision[], detection_counts int[], billed_units numeric[],
    prices_usd numeric[], raw_responses jsonb, are_truncated boolean[], saved_usds numeric[],
    are_read_by_key boolean[],
    of_runs int[], ordinals int[], kinds text[], labels text[], confidences double precision[],
    lefts double precision[], tops double precision[], widths double precision[],
    heights double precision[], all_attributes jsonb, times int[],
    charged_runs int[], charged_groups text[], charged_units numeric[], charged_usds numeric[]
) RETURNS bigint[]
    -- With its owner's rights: a worker can add detections, but can't change a count.
    LANGUAGE plpgsql SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    kept bigint[];
    added bigint;
    run int;
    misread int[] := '{}';
    attributes jsonb[] := ARRAY(SELECT jsonb_array_elements(all_attributes));
BEGIN
    IF true = ANY (are_read_by_key) THEN
        FOREACH run IN ARRAY find_misread_runs(image_ids, started_ats, durations_ms) LOOP
            CONTINUE WHEN NOT are_read_by_key[run] OR outcomes[run] <> 'succeeded';
            misread := misread || run;
            outcomes[run] := 'failed';
            retryables[run] := true;
            error_codes[run] := 'object_replaced';
            error_messages[run] := 'another upload may have been read: it took the object''s place '
                'before the call ended';
            detection_counts[run] := 0;
            raw_responses := jsonb_set(raw_responses, ARRAY[(run - 1)::text], 'null');
        END LOOP;
    END IF;

    -- Not a constraint of the table: each commit of an image would pay for reading it. It would also
    -- pay for an IF with a query, so that is inside another.
    IF times <> '{}' THEN
        IF EXISTS (
            SELECT FROM generate_series(1, cardinality(times) / 3) AS n
            WHERE num_nonnulls(times[3 * n - 2], times[3 * n - 1], times[3 * n]) > 0
                AND (
                    times[3 * n - 2] >= 0
                    AND times[3 * n - 1] >= times[3 * n - 2]
                    AND coalesce(times[3 * n], 0) >= 0
                ) IS NOT TRUE
        ) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'check_violation',
                MESSAGE = 'a detection has a time or track that is impossible: it needs both '
                    'start_ms and end_ms, 0 <= start_ms <= end_ms, and a track of 0 or more';
        END IF;
    END IF;

    -- Ids are assigned first, so that an id that exists afterwards tells which run was inserted.
    FOR run IN 1 .. cardinality(event_ids) LOOP
        kept[run] := nextval('runs_run_id_seq');
    END LOOP;

    -- Without a conflict target, because two constraints apply: one run an event, and one success a
    -- run key.
    INSERT INTO runs (
        run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, retryable,
        error_code, error_message, model_version, started_at, duration_ms, detection_count,
        billed_units, price_usd, raw_response, truncated, saved_usd, read_by_key
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        kept[n], image_ids[n], detectors[n], detector_versions[n], fingerprints[n], event_ids[n],
        outcomes[n], retryables[n], error_codes[n], error_messages[n], model_versions[n],
        started_ats[n], durations_ms[n], detection_counts[n], billed_units[n],
        prices_usd[n], nullif(raw_responses -> (n - 1), 'null'), are_truncated[n], saved_usds[n],
        are_read_by_key[n]
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
            box_height, attributes, detected_at, start_ms, end_ms, track
        )
        SELECT
            kept[of_runs[n]], image_ids[of_runs[n]], ordinals[n], kinds[n], labels[n],
            confidences[n], lefts[n], tops[n], widths[n], heights[n], attributes[n],
            started_ats[of_runs[n]], times[3 * n - 2], times[3 * n - 1], times[3 * n]
        FROM generate_series(1, cardinality(of_runs)) AS n
        WHERE kept[of_runs[n]] IS NOT NULL AND outcomes[of_runs[n]] = 'succeeded';
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
        SELECT
            date_trunc('month', started_ats[charged_runs[n]] AT TIME ZONE 'UTC')::date,
            detectors[charged_runs[n]], charged_groups[n], sum(charged_units[n]),
            sum(charged_usds[n])
        FROM generate_series(1, cardinality(charged_runs)) AS n
        WHERE kept[charged_runs[n]] IS NOT NULL
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3
        ON CONFLICT (month, detector, billing_group) DO UPDATE SET
            billed_units = known.billed_units + excluded.billed_units,
            price_usd = known.price_usd + excluded.price_usd;
    END IF;
    FOREACH run IN ARRAY misread LOOP
        kept[run] := NULL;  -- recorded, but not as the caller thinks
    END LOOP;
    RETURN kept;
END $$;

COMMENT ON FUNCTION record_runs(
    uuid[], text[], text[], text[], text[], text[], boolean[], text[], text[], text[],
    timestamptz[], double precision[], int[], numeric[], numeric[], jsonb, boolean[], numeric[],
    boolean[],
    int[], int[], text[], text[], double precision[], double precision[], double precision[],
    double precision[], double precision[], jsonb, int[], int[], text[], numeric[], numeric[]
) IS
    'Records runs with their detections and charges, given as one array a column. Columns of JSON are '
    'JSON arrays, which are faster to read than jsonb[]. of_runs and '
    'charged_runs are positions of runs, from 1. times has start_ms, end_ms and track of each '
    'detection, or nothing if none has a time. Returns the run ids in the order of the runs, null '
    'for those that were recorded before, and for successes that were recorded as failures because '
    'they may have read another image';

CREATE FUNCTION find_summaries(
    image_ids uuid[], detectors text[], detector_versions text[], fingerprints text[]
) RETURNS TABLE (
    image_id uuid, detector text, detector_version text, fingerprint text,
    kind text, label text, confidence double precision
)
    LANGUAGE plpgsql STABLE
    -- Planning for each month of detections takes far longer than reading one.
    SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        runs.image_id, runs.detector, runs.detector_version, runs.fingerprint,
        detections.kind, detections.label, detections.confidence
    FROM unnest(image_ids, detectors, detector_versions, fingerprints)
        AS asked (image_id, detector, detector_version, fingerprint)
    JOIN runs USING (image_id, detector, detector_version, fingerprint)
    LEFT JOIN detections
        ON detections.run_id = runs.run_id AND detections.detected_at = runs.started_at
    WHERE runs.outcome = 'succeeded'
    ORDER BY runs.run_id, detections.ordinal;
END $$;

COMMENT ON FUNCTION find_summaries(uuid[], text[], text[], text[]) IS
    'Detections of the successful runs of these run keys; one row with nulls for a run without any';

-- A caller's search_path must not redirect the function to other tables of the same names.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION record_runs SET search_path = %I, pg_temp', current_schema()
    );
END $$;

REVOKE ALL ON FUNCTION record_runs FROM PUBLIC;
