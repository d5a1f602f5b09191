-- What is done for a lone image is mostly the starting of statements: there are fewer of them now,
-- and the smaller ones are expressions, which PL/pgSQL evaluates without starting one.

-- convert_to is declared stable. A function in SQL that calls it, and says of itself that it is
-- immutable, cannot become a part of the statement around it: each call starts one of its own.
CREATE OR REPLACE FUNCTION image_id(bucket text, key text, version text) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- Bucket and version cannot contain a newline, so the text is unambiguous.
    digest bytea := sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8'));
BEGIN
    -- A UUIDv8 (RFC 9562) from the first 16 bytes of SHA-256.
    RETURN encode(
        set_byte(
            set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128),
            8, get_byte(digest, 8) & 63 | 128
        ),
        'hex'
    )::uuid;
END $$;

CREATE OR REPLACE FUNCTION sequencer_rank(sequencer text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    -- S3 says: pad the shorter with zeros on the right, then compare as text. Without the zeros on
    -- the right the comparison is the same, and needs no second operand; bytes need no collation.
    RETURN convert_to(rtrim(upper(sequencer), '0'), 'UTF8');
END $$;

-- Nothing depends on its being immutable, and stable it becomes a part of the statement around it.
ALTER FUNCTION label_series(text, text, text, text, text) STABLE;

CREATE OR REPLACE FUNCTION await_erasures() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    -- An expression, where PERFORM would start a statement.
    shared text := pg_advisory_xact_lock_shared(5928237158326682882);
BEGIN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION record_images(
    stripes int[], exclusive boolean[], image_ids uuid[], buckets text[], keys text[],
    versions text[], are_versioned boolean[], etags text[], sizes_bytes bigint[],
    widths_px int[], heights_px int[], uploaded_ats timestamptz[], sequencers text[],
    removed_buckets text[], removed_keys text[], removed_versions text[],
    removed_sequencers text[], removed_ats timestamptz[]
) RETURNS void
    LANGUAGE plpgsql
    -- Planned perhaps while removals is nearly empty: it must not read all of it later.
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    locked text;
    added bigint;
    disputed boolean := cardinality(removed_keys) > 0 OR false = ANY (are_versioned);
BEGIN
    -- A removal must see every creation of its key that was committed before it, and the other way
    -- round; snapshots alone do not give that, and each statement here has its own. Creations share
    -- a lock, removals have it to themselves.
    FOR place IN 1 .. cardinality(stripes) LOOP
        IF exclusive[place] THEN
            locked := pg_advisory_xact_lock(1380275273, stripes[place]);  -- "RETI"
        ELSE
            locked := pg_advisory_xact_lock_shared(1380275273, stripes[place]);
        END IF;
    END LOOP;

    -- Most images are new, and go in as they are.
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

    -- What is told of the others, and of one that occurs twice, is added to what is known.
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
        ) AS seen (
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
        ) AS told (bucket, key, version, sequencer, removed_at)
        ORDER BY bucket, key, version, sequencer, removed_at
        ON CONFLICT DO NOTHING;
    END IF;

    -- Whatever was removed, or may have taken another's place. Most images are neither.
    IF NOT disputed THEN
        disputed := EXISTS (
            SELECT FROM unnest(buckets, keys) AS seen (bucket, key)
            CROSS JOIN LATERAL (
                SELECT FROM removals
                WHERE removals.bucket = seen.bucket AND removals.key = seen.key
                LIMIT 1  -- keeps it a look into the index for each
            ) AS removed
        );
    END IF;
    IF NOT disputed AND added < cardinality(image_ids) THEN
        disputed := EXISTS (
            SELECT FROM unnest(image_ids) AS seen (image_id)
            CROSS JOIN LATERAL (
                SELECT FROM images
                WHERE images.image_id = seen.image_id AND deleted_at IS NOT NULL
                LIMIT 1
            ) AS deleted
        );
    END IF;
    IF disputed THEN
        PERFORM judge_images(
            image_ids,
            removed_buckets || ARRAY(
                SELECT bucket FROM unnest(buckets, are_versioned) AS seen (bucket, versioned)
                WHERE NOT versioned
            ),
            removed_keys || ARRAY(
                SELECT key FROM unnest(keys, are_versioned) AS seen (key, versioned)
                WHERE NOT versioned
            )
        );
    END IF;
END $$;

CREATE OR REPLACE FUNCTION those_inserted(given bigint[]) RETURNS bigint[]
    LANGUAGE sql STABLE
    -- A look into the index for each, however small the table was when this was planned.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT array_agg(runs.run_id ORDER BY number)
        FROM unnest(given) WITH ORDINALITY AS one (run_id, number)
        LEFT JOIN runs ON runs.run_id = one.run_id;
    END;

COMMENT ON FUNCTION those_inserted(bigint[]) IS
    'The run ids that there are of these, and null in the place of each other';

-- Rows are sorted by their key before they are written, so that two workers with overlapping rows
-- take the rows' locks in the same order and cannot deadlock.
CREATE OR REPLACE FUNCTION record_runs(
    image_ids uuid[], detectors text[], detector_versions text[], fingerprints text[],
    event_ids text[], outcomes text[], finals boolean[], error_codes text[],
    error_messages text[], model_versions text[], started_ats timestamptz[],
    durations_ms double precision[], detection_counts int[], billed_units numeric[],
    prices_usd numeric[], raw_responses jsonb[], avoided_usds numeric[],
    of_runs int[], ordinals int[], kinds text[], labels text[], confidences double precision[],
    lefts double precision[], tops double precision[], widths double precision[],
    heights double precision[], attributes jsonb[],
    charged_runs int[], charged_months date[], charged_groups text[], charged_units numeric[],
    charged_usds numeric[]
) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    kept bigint[];
    added bigint;
BEGIN
    -- Given out beforehand, so that a row that is there tells which of ours it was.
    FOR run IN 1 .. cardinality(event_ids) LOOP
        kept[run] := nextval('runs_run_id_seq');
    END LOOP;

    -- Without a conflict target: neither the same attempt twice nor a second success may be
    -- inserted.
    INSERT INTO runs (
        run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, final,
        error_code, error_message, model_version, started_at, duration_ms, detection_count,
        billed_units, price_usd, raw_response, avoided_usd
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        kept[n], image_ids[n], detectors[n], detector_versions[n], fingerprints[n], event_ids[n],
        outcomes[n], finals[n], error_codes[n], error_messages[n], model_versions[n],
        started_ats[n], durations_ms[n], detection_counts[n], billed_units[n],
        prices_usd[n], raw_responses[n], avoided_usds[n]
    FROM generate_series(1, cardinality(event_ids)) AS n
    ORDER BY
        image_ids[n], detectors[n], detector_versions[n], fingerprints[n], outcomes[n] DESC,
        event_ids[n]
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added = 0 THEN
        RETURN array_fill(NULL::bigint, ARRAY[cardinality(event_ids)]);
    ELSIF added < cardinality(kept) THEN
        kept := those_inserted(kept);
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
    END IF;

    -- After everything else, since all workers add to the same rows: the locks are short.
    IF cardinality(charged_runs) > 0 THEN
        INSERT INTO monthly_spending AS known (
            month, detector, price_group, billed_units, price_usd
        )
        SELECT month, detectors[of_run], price_group, sum(billed_units), sum(price_usd)
        FROM unnest(charged_runs, charged_months, charged_groups, charged_units, charged_usds)
            AS told (of_run, month, price_group, billed_units, price_usd)
        WHERE kept[of_run] IS NOT NULL
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3
        ON CONFLICT (month, detector, price_group) DO UPDATE SET
            billed_units = known.billed_units + excluded.billed_units,
            price_usd = known.price_usd + excluded.price_usd;
    END IF;
    RETURN kept;
END $$;

CREATE OR REPLACE FUNCTION count_added_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    -- The plan is made once, perhaps while runs is nearly empty: it must not read all of it later.
    SET enable_seqscan = off
AS $$
DECLARE
    stray boolean;
    wider boolean;
    new_labels text[];
    new_kinds text[];
BEGIN
    -- Sorted, so that two transactions take the rows in the same order and cannot deadlock.
    WITH grouped AS MATERIALIZED (
        SELECT
            (added.detected_at AT TIME ZONE 'UTC')::date AS day, runs.detector,
            runs.detector_version, runs.model_version, added.kind,
            CASE WHEN added.kind = 'text' THEN '' ELSE added.label END AS label,
            count(*) AS detections,
            sum((added.confidence * 1000000)::bigint)::bigint AS confidence_ppm,
            bool_or(added.attributes <> '{}'
                AND added.attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
            ) AS wider
        FROM added
        LEFT JOIN LATERAL (
            SELECT detector, detector_version, model_version FROM runs
            WHERE runs.run_id = added.run_id AND runs.started_at = added.detected_at
            LIMIT 1  -- keeps it a look into the index for each
        ) AS runs ON true
        GROUP BY 1, 2, 3, 4, 5, 6
    ), counted AS (
        INSERT INTO label_counts AS known (
            day, series, shard, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        )
        SELECT
            day, label_series(kind, label, detector, detector_version, model_version) AS series,
            pg_backend_pid() % 16, detector, detector_version, model_version, kind, label,
            detections, confidence_ppm
        FROM grouped
        WHERE detector IS NOT NULL
        ORDER BY 1, 2
        ON CONFLICT (day, series, shard) DO UPDATE SET
            detections = known.detections + excluded.detections,
            confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
        -- A row that was inserted, not updated, has no xmax: only then may the label be new.
        RETURNING kind, label, known.xmax = 0
            AND kind <> 'text' AND octet_length(label) + octet_length(kind) <= 1000 AS is_new
    ), learned AS (
        SELECT array_agg(label) AS labels, array_agg(kind) AS kinds FROM counted WHERE is_new
    ), checked AS (
        SELECT bool_or(detector IS NULL) AS stray, bool_or(grouped.wider) AS wider FROM grouped
    )
    SELECT checked.stray, checked.wider, learned.labels, learned.kinds
    INTO stray, wider, new_labels, new_kinds
    FROM checked, learned;
    IF stray THEN
        RAISE EXCEPTION 'a detection''s detected_at is not the started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'views look up a run''s detections by both';
    END IF;
    IF new_labels IS NOT NULL THEN
        INSERT INTO labels (label, kind)
        SELECT DISTINCT label, kind
        FROM unnest(new_labels, new_kinds) AS new (label, kind)
        ORDER BY label, kind
        ON CONFLICT DO NOTHING;
    END IF;
    IF wider THEN
        INSERT INTO label_parents (label, parent)
        SELECT DISTINCT label, parent
        FROM added, label_parents_in(attributes) AS parent
        WHERE attributes ?| ARRAY['Parents', 'parents', 'ParentName', 'supercategory']
            AND octet_length(label) <= 1000
        ORDER BY label, parent
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
