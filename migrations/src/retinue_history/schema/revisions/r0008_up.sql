CREATE TABLE models (
    model TEXT NOT NULL,
    detector TEXT NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    holder TEXT,
    token BIGINT DEFAULT 0 NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    status TEXT DEFAULT 'unknown' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    serving BOOLEAN DEFAULT false NOT NULL,
    waiting_since TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    keep_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_models PRIMARY KEY (model)
);

COMMENT ON TABLE models IS
    'Models that are started when work waits and stopped when none is left, and who keeps each';
COMMENT ON COLUMN models.model IS 'The provider''s name for it, such as an ARN';
COMMENT ON COLUMN models.detector IS 'The detector that asks it';
COMMENT ON COLUMN models.options IS 'That detector''s options, by which anybody can find the model';
COMMENT ON COLUMN models.holder IS 'The keeper that acts for it; null if none';
COMMENT ON COLUMN models.token IS 'Goes up with each new holder: a former one can write no more';
COMMENT ON COLUMN models.expires_at IS 'When the lease ends unless it is renewed';
COMMENT ON COLUMN models.status IS 'The model''s status as its keeper saw it last';
COMMENT ON COLUMN models.reason IS 'Why it is not serving';
COMMENT ON COLUMN models.serving IS 'Whether workers may receive messages for it';
COMMENT ON COLUMN models.waiting_since IS 'Since when messages have waited for it; null if none do';
COMMENT ON COLUMN models.failures IS 'Starts that failed, one after the other';
COMMENT ON COLUMN models.not_before IS 'When it may be started again after a failure';
COMMENT ON COLUMN models.keep_until IS 'Until when somebody wants it to run without work';

CREATE TABLE model_sessions (
    session_id BIGINT GENERATED ALWAYS AS IDENTITY,
    model TEXT NOT NULL,
    detector TEXT NOT NULL,
    token BIGINT NOT NULL,
    units INTEGER NOT NULL,
    usd_per_unit_minute NUMERIC NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    running_at TIMESTAMP WITH TIME ZONE,
    stop_requested_at TIMESTAMP WITH TIME ZONE,
    stopped_at TIMESTAMP WITH TIME ZONE,
    start_reason TEXT NOT NULL,
    stop_reason TEXT,
    CONSTRAINT pk_model_sessions PRIMARY KEY (session_id),
    CONSTRAINT ck_model_sessions_units CHECK (units > 0),
    CONSTRAINT ck_model_sessions_price CHECK (usd_per_unit_minute >= 0)
);

CREATE UNIQUE INDEX uq_model_sessions_open ON model_sessions (model) WHERE stopped_at IS NULL;
CREATE INDEX ix_model_sessions_requested ON model_sessions (requested_at);

COMMENT ON TABLE model_sessions IS
    'Each time that a model was hosted: written before its start is requested';
COMMENT ON COLUMN model_sessions.session_id IS 'The session''s number';
COMMENT ON COLUMN model_sessions.model IS 'The provider''s name for the model';
COMMENT ON COLUMN model_sessions.detector IS 'The detector that asks it';
COMMENT ON COLUMN model_sessions.token IS 'The lease under which it was begun';
COMMENT ON COLUMN model_sessions.units IS 'Inference units';
COMMENT ON COLUMN model_sessions.usd_per_unit_minute IS 'Price of a unit a minute, in US dollars';
COMMENT ON COLUMN model_sessions.requested_at IS 'When the start was requested; minutes count from here';
COMMENT ON COLUMN model_sessions.running_at IS 'When it was seen to run first';
COMMENT ON COLUMN model_sessions.stop_requested_at IS 'When the stop was requested';
COMMENT ON COLUMN model_sessions.stopped_at IS 'When it was seen to be stopped; null while it is not';
COMMENT ON COLUMN model_sessions.start_reason IS 'Why it was started';
COMMENT ON COLUMN model_sessions.stop_reason IS 'Why it was stopped, or ended';

CREATE VIEW model_costs AS
SELECT
    session_id, model, detector, units, requested_at, running_at, stop_requested_at, stopped_at,
    start_reason, stop_reason,
    (units * extract(epoch FROM coalesce(stopped_at, now()) - requested_at) / 60)::numeric
        AS unit_minutes,
    (units * extract(epoch FROM coalesce(stopped_at, now()) - requested_at) / 60)::numeric
        * usd_per_unit_minute AS price_usd
FROM model_sessions;

COMMENT ON VIEW model_costs IS
    'Inference-unit minutes and US dollars of each time that a model was hosted, until now';
COMMENT ON COLUMN model_costs.session_id IS 'The session''s number';
COMMENT ON COLUMN model_costs.model IS 'The provider''s name for the model';
COMMENT ON COLUMN model_costs.detector IS 'The detector that asks it';
COMMENT ON COLUMN model_costs.units IS 'Inference units';
COMMENT ON COLUMN model_costs.requested_at IS 'When the start was requested';
COMMENT ON COLUMN model_costs.running_at IS 'When it was seen to run first';
COMMENT ON COLUMN model_costs.stop_requested_at IS 'When the stop was requested';
COMMENT ON COLUMN model_costs.stopped_at IS 'When it was seen to be stopped; null while it is not';
COMMENT ON COLUMN model_costs.start_reason IS 'Why it was started';
COMMENT ON COLUMN model_costs.stop_reason IS 'Why it was stopped, or ended';
COMMENT ON COLUMN model_costs.unit_minutes IS
    'Inference-unit minutes from the request to the end: never less than the provider bills';
COMMENT ON COLUMN model_costs.price_usd IS 'What they cost, in US dollars';

GRANT SELECT, INSERT, UPDATE ON models, model_sessions TO retinue_writer;
GRANT SELECT ON model_costs TO retinue_writer;
GRANT SELECT ON models, model_sessions, model_costs TO retinue_reader;
