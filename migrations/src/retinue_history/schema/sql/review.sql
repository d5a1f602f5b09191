-- Reviews: people's answers about images, and the ground truth that follows from them. Every write goes
-- through the functions here, which run with the owner's rights. Settling is computed in Python
-- (retinue_history.review.settling), in the transaction that holds the lock of the image's row.

-- The queue of single corrections.
INSERT INTO review_queues (name, strategy, overlap, blind, created_by)
VALUES ('corrections', 'corrections', 1, false, 'retinue');

CREATE VIEW ground_truth AS
SELECT
    truths.truth_id,
    truths.name,
    truths.source,
    truths.made_by,
    truths.exhaustive,
    truths.scope_kinds,
    truths.scope_labels,
    truths.propensity,
    truths.settled_at,
    images.image_id,
    images.bucket,
    images.key,
    images.version,
    's3://' || images.bucket || '/' || images.key AS s3_uri,
    truth_items.ordinal,
    truth_items.kind,
    truth_items.label,
    truth_items.confidence,
    truth_items.box_left,
    truth_items.box_top,
    truth_items.box_width,
    truth_items.box_height,
    truth_items.attributes,
    box(
        point(truth_items.box_left, truth_items.box_top),
        point(
            truth_items.box_left + truth_items.box_width,
            truth_items.box_top + truth_items.box_height
        )
    ) AS box,
    images.width_px,
    images.height_px,
    images.deleted_at
FROM truths
JOIN images ON images.image_id = truths.image_id
LEFT JOIN truth_items ON truth_items.truth_id = truths.truth_id AND truth_items.present;

COMMENT ON VIEW ground_truth IS
'Things in each image by each settled truth. One row per thing, and one without a '
    'kind for an image in which nothing is';

CREATE VIEW standing_answers AS
SELECT
    answers.answer_id, answers.queue_id, review_queues.name AS queue, answers.image_id,
    answers.person, answers.verdict, answers.scope_kinds, answers.scope_labels,
    answers.exhaustive, answers.adjudicates, answers.bulk_id, answers.seconds, answers.late,
    answers.answered_at
FROM answers
JOIN review_queues ON review_queues.queue_id = answers.queue_id
WHERE answers.verdict <> 'undone'
    AND NOT EXISTS (SELECT FROM answers AS undo WHERE undo.undoes = answers.answer_id)
    AND NOT EXISTS (
        SELECT FROM answers AS later
        WHERE later.queue_id = answers.queue_id
            AND later.image_id = answers.image_id
            AND later.person = answers.person
            AND later.answer_id > answers.answer_id
            AND later.verdict <> 'undone'
            AND NOT EXISTS (SELECT FROM answers AS undo WHERE undo.undoes = later.answer_id)
    );

COMMENT ON VIEW standing_answers IS
    'The answer of each person to each image of a queue that counts: the newest that is not undone';

COMMENT ON COLUMN standing_answers.queue IS 'The queue''s name';
COMMENT ON COLUMN ground_truth.ordinal IS
    'Position in the truth, from 0; null if nothing is in the image';
COMMENT ON COLUMN ground_truth.kind IS 'The kind of thing: label, face, text, …';
COMMENT ON COLUMN ground_truth.label IS 'Its name';
COMMENT ON COLUMN ground_truth.attributes IS 'Everything else that is known of it';

DO $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT v.attrelid::regclass AS view_name, v.attname AS column_name,
            col_description(t.attrelid, t.attnum) AS comment
        FROM (VALUES
            ('ground_truth', 'truths'), ('ground_truth', 'truth_items'), ('ground_truth', 'images'),
            ('ground_truth', 'latest_detections'), ('standing_answers', 'answers')
        ) AS pair (view_name, table_name)
        JOIN pg_attribute AS v ON v.attrelid = pair.view_name::regclass
        JOIN pg_attribute AS t ON t.attrelid = pair.table_name::regclass AND t.attname = v.attname
        WHERE v.attnum > 0 AND col_description(v.attrelid, v.attnum) IS NULL
    LOOP
        EXECUTE format(
            'COMMENT ON COLUMN %s.%I IS %L',
            described.view_name, described.column_name, described.comment
        );
    END LOOP;
END $$;

-- Erased people stay out of later answers.
CREATE FUNCTION withhold_erased_item() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    given jsonb := to_jsonb(NEW);
    names text[];
BEGIN
    IF NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN NEW;
    END IF;
    names := faces_named(NEW.attributes) || faces_named(given -> 'shown')
        || ARRAY[NEW.label, given -> 'shown' ->> 'label'];
    IF EXISTS (
        SELECT FROM unnest(names) AS name JOIN erased_names ON digest = erasure_digest(name)
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION withhold_erased_item() IS
    'Keeps erased people out of new answers and truths';

CREATE TRIGGER await_erasures BEFORE INSERT ON truth_items
    FOR EACH STATEMENT EXECUTE FUNCTION await_erasures();
CREATE TRIGGER withhold_erased BEFORE INSERT ON truth_items
    FOR EACH ROW
    WHEN (NEW.kind = 'face_match' OR NEW.attributes ?| ARRAY['Face', 'FaceId', 'UserId'])
    EXECUTE FUNCTION withhold_erased_item();
CREATE TRIGGER await_erasures BEFORE INSERT ON answer_items
    FOR EACH STATEMENT EXECUTE FUNCTION await_erasures();
CREATE TRIGGER withhold_erased BEFORE INSERT ON answer_items
    FOR EACH ROW
    WHEN (
        NEW.kind = 'face_match' OR NEW.shown ->> 'kind' = 'face_match'
        OR NEW.attributes ?| ARRAY['Face', 'FaceId', 'UserId']
        OR NEW.shown -> 'attributes' ?| ARRAY['Face', 'FaceId', 'UserId']
    )
    EXECUTE FUNCTION withhold_erased_item();

CREATE FUNCTION text_array(list jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE jsonb_typeof(list)
        WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(list))
    END;

COMMENT ON FUNCTION text_array(jsonb) IS 'A JSON array of texts as an array; null if it is none';

CREATE FUNCTION scope_of(list jsonb) RETURNS text[]
    LANGUAGE plpgsql
AS $$
DECLARE
    scope text[] := text_array(list);
BEGIN
    IF scope IS NULL OR NOT EXISTS (SELECT FROM erased_names) THEN
        RETURN scope;
    END IF;
    RETURN ARRAY(
        SELECT label FROM unnest(scope) AS label
        WHERE NOT EXISTS (SELECT FROM erased_names WHERE digest = erasure_digest(label))
    );
END $$;

COMMENT ON FUNCTION scope_of(jsonb) IS
    'The labels of a scope, without the names of erased people';

CREATE FUNCTION save_truth(
    image uuid, truth_name text, truth_source text, truth jsonb
) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    saved bigint;
BEGIN
    DELETE FROM truths WHERE truths.image_id = image AND truths.name = truth_name;
    INSERT INTO truths (
        image_id, name, source, scope_kinds, scope_labels, exhaustive, made_by, propensity, digest
    )
    VALUES (
        image, truth_name, truth_source, text_array(truth -> 'scope_kinds'),
        scope_of(truth -> 'scope_labels'), (truth ->> 'exhaustive')::boolean,
        truth ->> 'made_by', (truth ->> 'propensity')::double precision, truth ->> 'digest'
    )
    RETURNING truth_id INTO saved;
    INSERT INTO truth_items (
        truth_id, ordinal, present, confidence, kind, label, box_left, box_top, box_width,
        box_height, attributes
    )
    SELECT
        saved, number - 1, coalesce((item ->> 'present')::boolean, true),
        coalesce((item ->> 'confidence')::double precision, 1), item ->> 'kind', item ->> 'label',
        (item -> 'box' ->> 0)::double precision, (item -> 'box' ->> 1)::double precision,
        (item -> 'box' ->> 2)::double precision, (item -> 'box' ->> 3)::double precision,
        coalesce(item -> 'attributes', '{}')
    FROM jsonb_array_elements(truth -> 'items') WITH ORDINALITY AS given (item, number);
END $$;

COMMENT ON FUNCTION save_truth(uuid, text, text, jsonb) IS
    'Replaces the truth of an image that has this name';

CREATE FUNCTION find_queue(queue_name text) RETURNS review_queues
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found_queue review_queues;
BEGIN
    SELECT * INTO found_queue FROM review_queues WHERE review_queues.name = queue_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no queue named %', queue_name USING ERRCODE = 'no_data_found';
    END IF;
    RETURN found_queue;
END $$;

COMMENT ON FUNCTION find_queue(text) IS 'The queue of this name; an error if there is none';

CREATE FUNCTION log_act(
    who text, what text, queue_name text, image uuid, details jsonb
) RETURNS void
    LANGUAGE sql SECURITY DEFINER
BEGIN ATOMIC
    INSERT INTO audit_log (person, act, queue, image_id, detail)
    VALUES (who, what, queue_name, image, details);
END;

COMMENT ON FUNCTION log_act(text, text, text, uuid, jsonb) IS
    'Adds an entry to the audit log: person, act, queue, image, and ids that say '
    'more';

CREATE FUNCTION create_review_queue(
    definition jsonb, who text, images uuid[], roles text[], propensities double precision[]
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO review_queues (
        name, strategy, selection, scope_kinds, scope_labels, detectors, overlap, blind, gold,
        created_by
    )
    VALUES (
        definition ->> 'name', definition ->> 'strategy', coalesce(definition -> 'selection', '{}'),
        text_array(definition -> 'scope_kinds'), scope_of(definition -> 'scope_labels'),
        text_array(definition -> 'detectors'), (definition ->> 'overlap')::int,
        (definition ->> 'blind')::boolean, definition ->> 'gold', who
    )
    ON CONFLICT (name) DO NOTHING
    RETURNING queue_id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'there is a queue named % already', definition ->> 'name'
            USING ERRCODE = 'unique_violation';
    END IF;
    INSERT INTO review_images (queue_id, image_id, place, role, propensity, wanted)
    SELECT made, images[n], n, roles[n], propensities[n], (definition ->> 'overlap')::int
    FROM generate_series(1, cardinality(images)) AS n
    ORDER BY images[n];
    PERFORM log_act(
        who, 'queue_created', definition ->> 'name', NULL,
        jsonb_build_object('images', cardinality(images))
    );
    RETURN made;
END $$;

COMMENT ON FUNCTION create_review_queue(jsonb, text, uuid[], text[], double precision[]) IS
    'Makes a queue of these images, in this order, and returns its id';

CREATE FUNCTION close_review_queue(queue_name text, who text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    UPDATE review_queues SET closed_at = now()
    WHERE queue_id = (find_queue(queue_name)).queue_id AND closed_at IS NULL;
    IF FOUND THEN
        PERFORM log_act(who, 'queue_closed', queue_name, NULL, '{}');
    END IF;
END $$;

COMMENT ON FUNCTION close_review_queue(text, text) IS
    'Closes a queue: it leases no more images. Later answers are kept';

CREATE FUNCTION lease_next_image(
    queue_name text, who text, lease_seconds double precision, adjudicate boolean
) RETURNS TABLE (lease_id uuid, image_id uuid, role text, expires_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
#variable_conflict use_column
DECLARE
    queue review_queues := find_queue(queue_name);
    until timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
    wanted_state text := CASE WHEN adjudicate THEN 'disputed' ELSE 'open' END;
    chosen review_images;
BEGIN
    IF queue.closed_at IS NOT NULL THEN
        RETURN;
    END IF;
    -- The image that the person holds: a page that is loaded again shows the same one.
    RETURN QUERY
    UPDATE review_leases AS held SET expires_at = until
    FROM review_images AS waiting
    WHERE held.lease_id = (
            SELECT mine.lease_id
            FROM review_leases AS mine
            JOIN review_images AS open_one USING (queue_id, image_id)
            WHERE mine.queue_id = queue.queue_id AND mine.person = who
                AND mine.expires_at > clock_timestamp() AND open_one.state = wanted_state
            ORDER BY open_one.place LIMIT 1
        )
        AND waiting.queue_id = held.queue_id AND waiting.image_id = held.image_id
    RETURNING held.lease_id, held.image_id, waiting.role, held.expires_at;
    IF FOUND THEN
        RETURN;
    END IF;
    LOOP
        SELECT waiting.* INTO chosen
        FROM review_images AS waiting
        WHERE waiting.queue_id = queue.queue_id AND waiting.state = wanted_state
            -- The condition of may_lease() for most rows, in a form that the planner can inline.
            AND (adjudicate OR NOT EXISTS (
                SELECT FROM answers AS mine
                WHERE mine.queue_id = waiting.queue_id AND mine.image_id = waiting.image_id
                    AND mine.person = who AND mine.verdict <> 'undone'
                    AND NOT EXISTS (SELECT FROM answers AS undo WHERE undo.undoes = mine.answer_id)
            ))
            AND may_lease(waiting, who)
        ORDER BY waiting.place
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        -- Another may have leased it between the snapshot of that statement and its lock.
        EXIT WHEN may_lease(chosen, who);
    END LOOP;
    DELETE FROM review_leases AS ended
    WHERE ended.queue_id = chosen.queue_id AND ended.image_id = chosen.image_id
        AND ended.expires_at <= clock_timestamp();
    RETURN QUERY
    INSERT INTO review_leases AS made (queue_id, image_id, person, expires_at)
    VALUES (chosen.queue_id, chosen.image_id, who, until)
    RETURNING made.lease_id, made.image_id, chosen.role, made.expires_at;
END $$;

COMMENT ON FUNCTION lease_next_image(text, text, double precision, boolean) IS
    'Leases the next image of a queue to a person: the one that the person holds already, or the '
    'first that needs an answer, isn''t leased to others and that the person hasn''t answered. '
    'No row if there is none';

CREATE FUNCTION may_lease(waiting review_images, who text) RETURNS boolean
    -- Not inlined, so that each call has a snapshot of its own; called for few rows.
    LANGUAGE plpgsql COST 10000
AS $$
BEGIN
    RETURN EXISTS (
            SELECT FROM images
            WHERE images.image_id = waiting.image_id AND images.deleted_at IS NULL
        )
        AND NOT EXISTS (
            SELECT FROM standing_answers AS mine
            WHERE mine.queue_id = waiting.queue_id AND mine.image_id = waiting.image_id
                AND mine.person = who AND (waiting.state = 'open' OR mine.verdict = 'skipped')
        )
        AND (
            SELECT count(*) FROM review_leases AS others
            WHERE others.queue_id = waiting.queue_id AND others.image_id = waiting.image_id
                AND others.person <> who AND others.expires_at > clock_timestamp()
        ) < CASE waiting.state
            WHEN 'open' THEN waiting.wanted - (
                SELECT count(*) FROM standing_answers AS theirs
                WHERE theirs.queue_id = waiting.queue_id AND theirs.image_id = waiting.image_id
                    AND theirs.verdict = 'answered'
            )
            ELSE 1
        END;
END $$;

COMMENT ON FUNCTION may_lease(review_images, text) IS
    'Whether a person may get an image of a queue now';

CREATE FUNCTION release_lease(lease uuid, who text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    DELETE FROM review_leases WHERE lease_id = lease AND person = who;
    RETURN FOUND;
END $$;

COMMENT ON FUNCTION release_lease(uuid, text) IS
    'Gives an image back, so that others get it now; whether the person held it';

CREATE FUNCTION save_review_answer(
    queue_name text, image uuid, who text, idempotency_key uuid, lease uuid, answer jsonb
) RETURNS TABLE (answer_id bigint, repeated boolean, late boolean, was_settled boolean)
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
#variable_conflict use_column
DECLARE
    queue review_queues := find_queue(queue_name);
    place review_images;
    known answers;
    content bytea := sha256(convert_to(
        jsonb_build_array(queue_name, image, who, answer - 'seconds')::text, 'UTF8'
    ));
    saved answers;
BEGIN
    -- A correction can concern an image that the queue doesn't have yet.
    INSERT INTO review_images (queue_id, image_id, place, role, wanted)
    SELECT
        queue.queue_id, image, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 'chosen',
        queue.overlap
    WHERE NOT EXISTS (
        SELECT FROM review_images WHERE queue_id = queue.queue_id AND image_id = image
    )
    ON CONFLICT DO NOTHING;
    SELECT * INTO place FROM review_images
    WHERE queue_id = queue.queue_id AND image_id = image
    FOR UPDATE;

    SELECT * INTO known FROM answers WHERE answers.key = idempotency_key;
    IF FOUND THEN
        IF known.digest <> content THEN
            RAISE EXCEPTION 'the idempotency key % was used for another answer', idempotency_key
                USING ERRCODE = 'unique_violation';
        END IF;
        RETURN QUERY SELECT known.answer_id, true, known.late, place.state = 'settled';
        RETURN;
    END IF;

    INSERT INTO answers (
        queue_id, image_id, person, verdict, scope_kinds, scope_labels, exhaustive, adjudicates,
        bulk_id, seconds, late, key, digest
    )
    VALUES (
        queue.queue_id, image, who, answer ->> 'verdict', text_array(answer -> 'scope_kinds'),
        scope_of(answer -> 'scope_labels'), (answer ->> 'exhaustive')::boolean,
        (answer ->> 'adjudicates')::boolean, (answer ->> 'bulk_id')::uuid,
        (answer ->> 'seconds')::double precision,
        lease IS NOT NULL AND NOT EXISTS (
            SELECT FROM review_leases AS held
            WHERE held.lease_id = lease AND held.person = who
                AND held.expires_at > clock_timestamp()
        ),
        idempotency_key, content
    )
    RETURNING * INTO saved;
    INSERT INTO answer_items (
        answer_id, ordinal, decision, shown, kind, label, box_left, box_top, box_width, box_height,
        attributes
    )
    SELECT
        saved.answer_id, number - 1, item ->> 'decision', nullif(item -> 'shown', 'null'),
        item ->> 'kind', item ->> 'label',
        (item -> 'box' ->> 0)::double precision, (item -> 'box' ->> 1)::double precision,
        (item -> 'box' ->> 2)::double precision, (item -> 'box' ->> 3)::double precision,
        coalesce(item -> 'attributes', '{}')
    FROM jsonb_array_elements(answer -> 'items') WITH ORDINALITY AS given (item, number);
    DELETE FROM review_leases AS held
    WHERE held.queue_id = queue.queue_id AND held.image_id = image AND held.person = who;
    PERFORM log_act(
        who, CASE saved.verdict WHEN 'skipped' THEN 'image_skipped' ELSE 'answer_saved' END,
        queue_name, image,
        jsonb_strip_nulls(jsonb_build_object(
            'answer_id', saved.answer_id, 'bulk_id', saved.bulk_id
        ))
    );
    RETURN QUERY SELECT saved.answer_id, false, saved.late, place.state = 'settled';
END $$;

COMMENT ON FUNCTION save_review_answer(text, uuid, text, uuid, uuid, jsonb) IS
    'Adds an answer, unless the idempotency key was used for the same one before. Whether it was '
    'repeated, whether the lease had ended, and whether the image was settled already';

CREATE FUNCTION undo_review_answer(undone bigint, who text, idempotency_key uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    former answers;
BEGIN
    SELECT answers.* INTO former FROM answers
    JOIN review_images USING (queue_id, image_id)
    WHERE answers.answer_id = undone AND answers.person = who AND answers.verdict <> 'undone'
    FOR UPDATE OF review_images;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% has no answer %', who, undone USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO answers (
        queue_id, image_id, person, verdict, undoes, exhaustive, adjudicates, bulk_id, late, key,
        digest
    )
    VALUES (
        former.queue_id, former.image_id, who, 'undone', undone, false, false, former.bulk_id,
        false, idempotency_key, sha256(convert_to('undo ' || undone, 'UTF8'))
    )
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM log_act(
        who, 'answer_undone', review_queues.name, former.image_id,
        jsonb_strip_nulls(jsonb_build_object('answer_id', undone, 'bulk_id', former.bulk_id))
    )
    FROM review_queues WHERE queue_id = former.queue_id;
    RETURN true;
END $$;

COMMENT ON FUNCTION undo_review_answer(bigint, text, uuid) IS
    'Takes an answer of the same person back, by another row; false if it was undone already';

CREATE FUNCTION read_review(queue_name text, image uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    queue review_queues := find_queue(queue_name);
    place review_images;
BEGIN
    SELECT * INTO place FROM review_images
    WHERE queue_id = queue.queue_id AND review_images.image_id = image
    FOR UPDATE;
    RETURN jsonb_build_object(
        'role', place.role,
        'overlap', queue.overlap,
        'propensity', place.propensity,
        'answers', coalesce((
            SELECT jsonb_agg(
                to_jsonb(standing) || jsonb_build_object('items', coalesce((
                    SELECT jsonb_agg(to_jsonb(item) ORDER BY item.ordinal)
                    FROM answer_items AS item WHERE item.answer_id = standing.answer_id
                ), '[]'))
                ORDER BY standing.answer_id
            )
            FROM standing_answers AS standing
            WHERE standing.queue_id = queue.queue_id AND standing.image_id = image
                AND standing.verdict = 'answered'
        ), '[]')
    );
END $$;

COMMENT ON FUNCTION read_review(text, uuid) IS
    'The standing answers to an image of a queue, from which it is settled. Locks the image''s place '
    'in the queue until the transaction ends';

CREATE FUNCTION settle_review(
    queue_name text, image uuid, who text, new_state text, answers_wanted int, truth jsonb
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    queue review_queues := find_queue(queue_name);
    former text;
BEGIN
    SELECT state INTO former FROM review_images
    WHERE queue_id = queue.queue_id AND review_images.image_id = image
    FOR UPDATE;
    UPDATE review_images SET state = new_state, wanted = answers_wanted
    WHERE queue_id = queue.queue_id AND review_images.image_id = image
        AND (state, wanted) IS DISTINCT FROM (new_state, answers_wanted);
    IF truth IS NULL THEN
        DELETE FROM truths
        WHERE truths.image_id = image AND truths.name = queue_name AND truths.source = 'review';
    ELSE
        PERFORM save_truth(image, queue_name, 'review', truth);
    END IF;
    IF former <> new_state THEN
        PERFORM log_act(who, 'image_' || new_state, queue_name, image, '{}');
    END IF;
END $$;

COMMENT ON FUNCTION settle_review(text, uuid, text, text, int, jsonb) IS
    'Notes the state of an image of a queue, and its truth or that there is none';

CREATE FUNCTION list_people()
    RETURNS TABLE (
        name text, collection_id text, region text, consent text, enrolled_at timestamptz,
        faces bigint
    )
    LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT
        people.name, people.collection_id, people.region, people.consent, people.enrolled_at,
        (SELECT count(*) FROM faces WHERE faces.person_id = people.person_id)
    FROM people
    ORDER BY people.name, people.collection_id, people.region;
END;

COMMENT ON FUNCTION list_people() IS
    'The enrolled people with their consent and number of faces, for the console''s admins';

-- A function with its owner's rights must not find tables that another user created.
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'create_review_queue(jsonb, text, uuid[], text[], double precision[])',
        'close_review_queue(text, text)', 'log_act(text, text, text, uuid, jsonb)',
        'lease_next_image(text, text, double precision, boolean)', 'release_lease(uuid, text)',
        'save_review_answer(text, uuid, text, uuid, uuid, jsonb)',
        'undo_review_answer(bigint, text, uuid)', 'read_review(text, uuid)', 'list_people()',
        'settle_review(text, uuid, text, text, int, jsonb)', 'withhold_erased_item()',
        'save_truth(uuid, text, text, jsonb)', 'scope_of(jsonb)', 'find_queue(text)', 'may_lease(review_images, text)'
    ] LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', signature,
            current_schema()
        );
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
    END LOOP;
END $$;
