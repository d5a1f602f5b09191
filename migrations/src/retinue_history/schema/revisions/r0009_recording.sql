-- What a worker records goes in by one call, whose statements Postgres plans once a connection:
-- planning them took longer than running them.

CREATE OR REPLACE FUNCTION image_id(bucket text, key text, version text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- The digest is written three times, since only an expression without a subquery becomes a part
    -- of the statement around it; a call for each row took twenty times as long as three digests.
    RETURN encode(
        set_byte(
            set_byte(
                substr(sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8')), 1, 16),
                6,
                get_byte(
                    sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8')), 6
                ) & 15 | 128
            ),
            8,
            get_byte(
                sha256(convert_to(bucket || E'\n' || version || E'\n' || key, 'UTF8')), 8
            ) & 63 | 128
        ),
        'hex'
    )::uuid;

-- An image is deleted by each removal that came after its last creation and, in an unversioned
-- bucket, by each other image that was put in its place. The outcome follows from what is known, not
-- from the order in which it came to be known.
CREATE FUNCTION judge_images(image_ids uuid[], buckets text[], keys text[]) RETURNS void
    LANGUAGE plpgsql
    -- The plan is made once, perhaps while images is nearly empty: it must not read all of it later.
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
            FROM unnest(buckets, keys) AS told (bucket, key)
            JOIN images ON images.bucket = told.bucket AND images.key = told.key
        )
    ) AS judged
    WHERE images.image_id = judged.image_id
        AND images.deleted_at IS DISTINCT FROM judged.deleted_at;
END $$;

COMMENT ON FUNCTION judge_images(uuid[], text[], text[]) IS
    'Sets deleted_at of these images, and of all images of these keys, from what is known';

-- Sightings of one image are merged, here and with the row that exists, by functions that do not
-- care for order: the earliest, the latest, the first that is known. DO UPDATE locks the row even
-- where its WHERE finds nothing to change, and then writes nothing.
CREATE FUNCTION record_images(
    stripes int[], exclusive boolean[],
    image_ids uuid[], buckets text[], keys text[], versions text[], are_versioned boolean[],
    etags text[], sizes_bytes bigint[], widths_px int[], heights_px int[],
    uploaded_ats timestamptz[], sequencers text[],
    removed_buckets text[], removed_keys text[], removed_versions text[],
    removed_sequencers text[], removed_ats timestamptz[]
) RETURNS void
    LANGUAGE plpgsql
    -- Planned perhaps while removals is nearly empty: it must not read all of it later.
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    -- A removal must see every creation of its key that was committed before it, and the other way
    -- round; snapshots alone do not give that, and each statement here has its own. Creations share
    -- a lock, removals have it to themselves.
    FOR place IN 1 .. cardinality(stripes) LOOP
        IF exclusive[place] THEN
            PERFORM pg_advisory_xact_lock(1380275273, stripes[place]);  -- "RETI"
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1380275273, stripes[place]);
        END IF;
    END LOOP;

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
    IF cardinality(removed_keys) > 0
        OR false = ANY (are_versioned)
        OR EXISTS (
            SELECT FROM unnest(buckets, keys) AS seen (bucket, key)
            CROSS JOIN LATERAL (
                SELECT FROM removals
                WHERE removals.bucket = seen.bucket AND removals.key = seen.key
                LIMIT 1  -- keeps it a look into the index for each
            ) AS removed
        )
        OR EXISTS (
            SELECT FROM unnest(image_ids) AS seen (image_id)
            CROSS JOIN LATERAL (
                SELECT FROM images
                WHERE images.image_id = seen.image_id AND deleted_at IS NOT NULL
                LIMIT 1
            ) AS deleted
        )
    THEN
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

COMMENT ON FUNCTION record_images(
    int[], boolean[], uuid[], text[], text[], text[], boolean[], text[], bigint[], int[], int[],
    timestamptz[], text[], text[], text[], text[], text[], timestamptz[]
) IS 'Records sightings and removals; rows are columns of arrays';

-- Rows are sorted by their key before they are written, so that two workers with overlapping rows
-- take the rows' locks in the same order and cannot deadlock.
CREATE FUNCTION record_runs(
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
    -- Given out beforehand, so that a row that comes back tells which of ours it was.
    given bigint[] := ARRAY(
        SELECT nextval('runs_run_id_seq') FROM generate_series(1, cardinality(event_ids))
    );
    kept bigint[];
BEGIN
    -- Without a conflict target: neither the same attempt twice nor a second success may be
    -- inserted.
    WITH saved AS (
        INSERT INTO runs (
            run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, final,
            error_code, error_message, model_version, started_at, duration_ms, detection_count,
            billed_units, price_usd, raw_response, avoided_usd
        )
        OVERRIDING SYSTEM VALUE
        SELECT *
        FROM unnest(
            given, image_ids, detectors, detector_versions, fingerprints, event_ids, outcomes,
            finals, error_codes, error_messages, model_versions, started_ats, durations_ms,
            detection_counts, record_runs.billed_units, prices_usd, raw_responses, avoided_usds
        ) AS made (
            run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, final,
            error_code, error_message, model_version, started_at, duration_ms, detection_count,
            billed_units, price_usd, raw_response, avoided_usd
        )
        ORDER BY image_id, detector, detector_version, fingerprint, outcome DESC, event_id
        ON CONFLICT DO NOTHING
        RETURNING run_id
    )
    SELECT array_agg(run_id) INTO kept FROM saved;
    IF kept IS NULL THEN
        RETURN array_fill(NULL::bigint, ARRAY[cardinality(given)]);
    END IF;
    kept := CASE cardinality(kept)
        WHEN cardinality(given) THEN given
        ELSE ARRAY(
            SELECT CASE WHEN run_id = ANY (kept) THEN run_id END
            FROM unnest(given) WITH ORDINALITY AS one (run_id, number)
            ORDER BY number
        )
    END;

    IF cardinality(of_runs) > 0 THEN
        INSERT INTO detections (
            run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width,
            box_height, attributes, detected_at
        )
        SELECT
            kept[of_run], image_ids[of_run], ordinal, kind, label, confidence, box_left, box_top,
            box_width, box_height, attributes, started_ats[of_run]
        FROM unnest(
            of_runs, ordinals, kinds, record_runs.labels, confidences, lefts, tops, widths, heights,
            record_runs.attributes
        ) AS found (
            of_run, ordinal, kind, label, confidence, box_left, box_top, box_width, box_height,
            attributes
        )
        WHERE kept[of_run] IS NOT NULL;
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

COMMENT ON FUNCTION record_runs(
    uuid[], text[], text[], text[], text[], text[], boolean[], text[], text[], text[],
    timestamptz[], double precision[], int[], numeric[], numeric[], jsonb[], numeric[],
    int[], int[], text[], text[], double precision[], double precision[], double precision[],
    double precision[], double precision[], jsonb[], int[], date[], text[], numeric[], numeric[]
) IS
    'Records runs with their detections and charges; rows are columns of arrays, and of_runs and '
    'charged_runs say which run, from 1. Returns the run ids in the order of the runs, null for '
    'those that were known';

CREATE OR REPLACE FUNCTION count_added_labels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    -- The plan is made once, perhaps while runs is nearly empty: it must not read all of it later.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    stray boolean;
    wider boolean;
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
        LEFT JOIN runs ON runs.run_id = added.run_id AND runs.started_at = added.detected_at
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
        RETURNING kind, label, known.xmax = 0 AS is_new
    ), learned AS (
        INSERT INTO labels (label, kind)
        SELECT DISTINCT label, kind
        FROM counted
        WHERE is_new AND kind <> 'text' AND octet_length(label) + octet_length(kind) <= 1000
        ORDER BY label, kind
        ON CONFLICT DO NOTHING
    )
    SELECT bool_or(grouped.detector IS NULL), bool_or(grouped.wider) INTO stray, wider
    FROM grouped;
    IF stray THEN
        RAISE EXCEPTION 'a detection''s detected_at is not the started_at of its run'
            USING ERRCODE = 'check_violation',
            HINT = 'views look up a run''s detections by both';
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
