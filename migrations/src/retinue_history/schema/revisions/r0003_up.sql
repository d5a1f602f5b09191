CREATE TABLE quotas (
    quota TEXT NOT NULL,
    limit_rps double precision,
    lowered_at TIMESTAMP WITH TIME ZONE,
    epoch BIGINT DEFAULT 0 NOT NULL,
    calls double precision DEFAULT 0 NOT NULL,
    throttled double precision DEFAULT 0 NOT NULL,
    CONSTRAINT pk_quotas PRIMARY KEY (quota),
    CONSTRAINT ck_quotas_limit_rps CHECK (limit_rps > 0 AND limit_rps < 'Infinity')
);

COMMENT ON TABLE quotas IS
    'What providers allow, as throttling taught it: one row per quota that workers share';
COMMENT ON COLUMN quotas.quota IS
    'The quota''s name, such as rekognition:eu-west-1:DetectLabels';
COMMENT ON COLUMN quotas.limit_rps IS
    'Requests a second at which throttling was met; null if never';
COMMENT ON COLUMN quotas.lowered_at IS
    'When that was; the rate climbs from then on';
COMMENT ON COLUMN quotas.epoch IS
    'How often the limit was lowered';
COMMENT ON COLUMN quotas.calls IS
    'Recent calls since then, of all workers';
COMMENT ON COLUMN quotas.throttled IS
    'How many of them were throttled';

CREATE TABLE quota_leases (
    quota TEXT NOT NULL,
    worker TEXT NOT NULL,
    demand_rps double precision NOT NULL,
    share_rps double precision NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_quota_leases PRIMARY KEY (quota, worker),
    CONSTRAINT fk_quota_leases_quota FOREIGN KEY(quota) REFERENCES quotas (quota)
);

COMMENT ON TABLE quota_leases IS
    'Which worker may use how much of a quota, for the next seconds';
COMMENT ON COLUMN quota_leases.quota IS
    'The quota''s name';
COMMENT ON COLUMN quota_leases.worker IS
    'The worker, by an id that it gives itself at its start';
COMMENT ON COLUMN quota_leases.demand_rps IS
    'Requests a second that it could make';
COMMENT ON COLUMN quota_leases.share_rps IS
    'Requests a second that it may make';
COMMENT ON COLUMN quota_leases.expires_at IS
    'When the lease ends unless it is renewed: a dead worker gives its share back';

CREATE TABLE monthly_spending (
    month DATE NOT NULL,
    detector TEXT NOT NULL,
    price_group TEXT NOT NULL,
    billed_units NUMERIC NOT NULL,
    price_usd NUMERIC NOT NULL,
    CONSTRAINT pk_monthly_spending PRIMARY KEY (month, detector, price_group)
);

COMMENT ON TABLE monthly_spending IS
    'What each detector has cost in each month, counted as runs are committed';
COMMENT ON COLUMN monthly_spending.month IS
    'First day of the month (UTC) in which the runs started';
COMMENT ON COLUMN monthly_spending.detector IS
    'The detector''s name';
COMMENT ON COLUMN monthly_spending.price_group IS
    'What the provider counts together to find the tier of its price';
COMMENT ON COLUMN monthly_spending.billed_units IS
    'Units billed';
COMMENT ON COLUMN monthly_spending.price_usd IS
    'What they cost, in US dollars';

-- Budgets hold from the first day. Which price group these units belong to is not known, so the
-- tiers of this month begin anew.
INSERT INTO monthly_spending (month, detector, price_group, billed_units, price_usd)
SELECT
    date_trunc('month', now() AT TIME ZONE 'UTC')::date, detector, 'before revision 0003',
    sum(billed_units), sum(price_usd)
FROM runs
WHERE started_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
    AND price_usd > 0
GROUP BY detector;

GRANT SELECT, INSERT, UPDATE, DELETE ON quota_leases TO retinue_writer;
GRANT SELECT, INSERT, UPDATE ON quotas, monthly_spending TO retinue_writer;
GRANT SELECT ON quotas, quota_leases, monthly_spending TO retinue_reader;
