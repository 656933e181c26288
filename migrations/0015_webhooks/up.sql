-- Webhooks: endpoints to which the feed is pushed, how far each has come, and what was tried. Additive.

ALTER TABLE alliance_keys DROP CONSTRAINT alliance_keys_purpose_known;
ALTER TABLE alliance_keys ADD CONSTRAINT alliance_keys_purpose_known
    CHECK (purpose IN ('quote', 'statement', 'statement_p256', 'checkpoint', 'webhook'));

CREATE TABLE webhooks (
    webhook_no    bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT webhooks_key PRIMARY KEY,
    webhook_id    uuid        NOT NULL CONSTRAINT webhooks_id_once UNIQUE,
    partner       text        NOT NULL,
    url           text        NOT NULL CONSTRAINT webhooks_url_length CHECK (char_length(url) BETWEEN 1 AND 512),
    types         text[]      CONSTRAINT webhooks_types_some CHECK (cardinality(types) BETWEEN 1 AND 64),
    state         text        NOT NULL DEFAULT 'active' CONSTRAINT webhooks_state_known CHECK (state IN ('active', 'suspended', 'ended')),
    why           text        CONSTRAINT webhooks_why_known CHECK (why IN ('asked', 'gone', 'failing')),
    state_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    cursor        bigint      NOT NULL CONSTRAINT webhooks_cursor_not_negative CHECK (cursor >= 0),
    epoch         bigint      NOT NULL DEFAULT 0,
    lease_holder  uuid,
    lease_until   timestamptz,
    failures      integer     NOT NULL DEFAULT 0 CONSTRAINT webhooks_failures_not_negative CHECK (failures >= 0),
    failing_since timestamptz,
    opened_at     timestamptz,
    rests_until   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhooks_partner_known FOREIGN KEY (partner) REFERENCES partners (slug),
    CONSTRAINT webhooks_why_suspended CHECK ((why IS NOT NULL) = (state = 'suspended')),
    CONSTRAINT webhooks_lease_whole CHECK ((lease_holder IS NULL) = (lease_until IS NULL)),
    CONSTRAINT webhooks_open_fails CHECK (opened_at IS NULL OR failing_since IS NOT NULL)
);
CREATE INDEX webhooks_partner ON webhooks (partner) WHERE state <> 'ended';
COMMENT ON TABLE webhooks IS 'Endpoints to which a partner''s feed is pushed. All times are the real clock''s.';
COMMENT ON COLUMN webhooks.types IS 'Event types that are pushed; NULL is all.';
COMMENT ON COLUMN webhooks.why IS 'Why it is suspended: its owner asked, it answered 410, or it failed for five days.';
COMMENT ON COLUMN webhooks.cursor IS 'Every event up to this sequence is delivered, not wanted, or a row of deliveries.';
COMMENT ON COLUMN webhooks.epoch IS 'Rises whenever the lease changes hands; whoever names another one writes nothing.';
COMMENT ON COLUMN webhooks.failures IS 'Attempts that failed since the last that did not.';
COMMENT ON COLUMN webhooks.opened_at IS 'Since when its breaker is open; NULL while closed.';
COMMENT ON COLUMN webhooks.rests_until IS 'Nothing is sent before: the breaker''s next probe, or a wait that was asked for.';

CREATE TABLE webhook_secrets (
    webhook_no bigint      NOT NULL,
    secret_id  uuid        NOT NULL CONSTRAINT webhook_secrets_key PRIMARY KEY,
    sealed     bytea       NOT NULL CONSTRAINT webhook_secrets_sealed_length CHECK (octet_length(sealed) BETWEEN 52 AND 128),
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at    timestamptz,
    CONSTRAINT webhook_secrets_of FOREIGN KEY (webhook_no) REFERENCES webhooks (webhook_no)
);
CREATE INDEX webhook_secrets_webhook ON webhook_secrets (webhook_no);
COMMENT ON TABLE webhook_secrets IS 'What an endpoint and we share, sealed with a key that is a file of the servers.';
COMMENT ON COLUMN webhook_secrets.sealed IS 'AES-256-GCM: 12 bytes of nonce, the secret, 16 bytes of tag; bound to secret_id.';
COMMENT ON COLUMN webhook_secrets.ends_at IS 'Signs until then; NULL for the newest.';

-- Without foreign keys: thousands of rows a second.
CREATE TABLE deliveries (
    webhook_no bigint      NOT NULL,
    sequence   bigint      NOT NULL CONSTRAINT deliveries_sequence_positive CHECK (sequence > 0),
    event_id   uuid        NOT NULL,
    type       text        NOT NULL,
    key        uuid        NOT NULL,
    state      text        NOT NULL CONSTRAINT deliveries_state_known CHECK (state IN ('due', 'retrying', 'delivered', 'dead')),
    tries      integer     NOT NULL CONSTRAINT deliveries_tries_not_negative CHECK (tries >= 0),
    next_at    timestamptz,
    state_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    resent     integer     NOT NULL DEFAULT 0,
    attempts   jsonb       NOT NULL DEFAULT '[]',
    CONSTRAINT deliveries_key PRIMARY KEY (webhook_no, sequence),
    CONSTRAINT deliveries_next_open CHECK (next_at IS NULL OR state IN ('due', 'retrying')),
    CONSTRAINT deliveries_retrying_next CHECK (state <> 'retrying' OR next_at IS NOT NULL)
);
CREATE INDEX deliveries_next ON deliveries (webhook_no, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_open ON deliveries (webhook_no, key, sequence) WHERE state IN ('due', 'retrying');
CREATE INDEX deliveries_dead ON deliveries (webhook_no, sequence) WHERE state = 'dead';
CREATE INDEX deliveries_age ON deliveries USING brin (state_at);
COMMENT ON TABLE deliveries IS 'One event at one endpoint, with what was tried. Delivered ones are kept 30 days, dead ones until their endpoint ends.';
COMMENT ON COLUMN deliveries.key IS 'What the event is about: of one key, one is sent at a time, in order.';
COMMENT ON COLUMN deliveries.state IS 'due: waits, for its turn or behind another of its key; retrying: failed, and has a next try; delivered; dead: is tried no more.';
COMMENT ON COLUMN deliveries.tries IS 'Failed attempts that count towards the last one; a probe of an open breaker does not.';
COMMENT ON COLUMN deliveries.next_at IS 'When it is sent next; NULL while it waits behind another of its key, and when it is settled.';
COMMENT ON COLUMN deliveries.attempts IS 'The last 32 attempts, oldest first: at, ms, status (absent without an answer), error (absent when delivered).';
