-- What surrounds a membership and moves no points: link codes, consents, activities. Written by the use cases.

CREATE TABLE link_requests (
    link_id       uuid        PRIMARY KEY,
    code_hash     uuid        NOT NULL CONSTRAINT link_requests_code_unique UNIQUE,
    from_partner  text        NOT NULL,
    from_account  uuid        NOT NULL,
    to_partner    text        NOT NULL,
    to_account    uuid,
    from_token    uuid        NOT NULL,
    to_token      uuid        NOT NULL,
    from_pull     boolean     NOT NULL,
    to_pull       boolean,
    attempts      smallint    NOT NULL DEFAULT 0 CONSTRAINT link_requests_attempts_range CHECK (attempts BETWEEN 0 AND 5),
    state         text        NOT NULL CONSTRAINT link_requests_state_known CHECK (state IN ('pending', 'accepted', 'withdrawn')),
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    settled_at    timestamptz,
    CONSTRAINT link_requests_two_brands CHECK (from_partner <> to_partner),
    CONSTRAINT link_requests_accepted_whole CHECK (state <> 'accepted' OR (to_account IS NOT NULL AND to_pull IS NOT NULL))
);
CREATE INDEX link_requests_by_from ON link_requests (from_account);
CREATE INDEX link_requests_by_to ON link_requests (to_account);
COMMENT ON TABLE link_requests IS 'One side has asked for a link and holds a code for the other; the accepted link itself is the book''s. Times are wire time.';
COMMENT ON COLUMN link_requests.code_hash IS '16 bytes of SHA-256 over the code: the code itself is shown once and kept nowhere.';
COMMENT ON COLUMN link_requests.from_token IS 'Drawn when the code was made, so that accepting again after a lost connection is the same command.';

CREATE TABLE link_attempts (
    who        uuid        PRIMARY KEY,
    since      timestamptz NOT NULL,
    attempts   smallint    NOT NULL CONSTRAINT link_attempts_range CHECK (attempts BETWEEN 0 AND 6)
);
COMMENT ON TABLE link_attempts IS 'Wrong codes tried for one membership in the present ten minutes: a code that matches nothing has no row of its own to count on.';

CREATE TABLE consents (
    consent_id   uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL,
    partner      text        NOT NULL,
    link_id      uuid        NOT NULL,
    recipient    text        NOT NULL,
    version      text        NOT NULL CONSTRAINT consents_version_length CHECK (char_length(version) BETWEEN 1 AND 128),
    purpose      text,
    method       text,
    categories   text[]      NOT NULL CONSTRAINT consents_categories_bound CHECK (cardinality(categories) <= 32),
    pull         boolean     NOT NULL,
    guardian     text,
    given_at     timestamptz NOT NULL,
    withdrawn_at timestamptz,
    CONSTRAINT consents_once UNIQUE (link_id, account_id, recipient)
);
CREATE INDEX consents_by_account ON consents (account_id);
COMMENT ON TABLE consents IS 'What a member agreed to, per recipient: which text, for what, how, over which data; withdrawal stops future sharing and keeps the record.';

CREATE TABLE activities (
    activity_id    uuid        PRIMARY KEY,
    reference_hash uuid        NOT NULL CONSTRAINT activities_reference_unique UNIQUE,
    fingerprint    uuid        NOT NULL,
    partner        text        NOT NULL,
    account_id     uuid        NOT NULL,
    type           text        NOT NULL CONSTRAINT activities_type_length CHECK (char_length(type) BETWEEN 1 AND 64),
    occurred_at    timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    amount         bigint      CONSTRAINT activities_amount_not_negative CHECK (amount >= 0),
    currency       text        CONSTRAINT activities_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    categories     text[]      NOT NULL CONSTRAINT activities_categories_bound CHECK (cardinality(categories) <= 32),
    channel        text,
    store          text,
    reference      text        NOT NULL,
    CONSTRAINT activities_amount_has_currency CHECK ((amount IS NULL) = (currency IS NULL))
);
CREATE INDEX activities_by_account ON activities (account_id, occurred_at);
COMMENT ON TABLE activities IS 'Purchases and interactions as brands report them, once per external reference; the food of tiers, growth and reports.';
COMMENT ON COLUMN activities.amount IS 'Millionths of the currency.';

CREATE TABLE erasures (
    erasure_id  uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL CONSTRAINT erasures_account_once UNIQUE,
    partner     text        NOT NULL,
    asked_at    timestamptz NOT NULL,
    done_at     timestamptz
);
CREATE INDEX erasures_open ON erasures (asked_at) WHERE done_at IS NULL;
COMMENT ON TABLE erasures IS 'Who was to be forgotten: written before the book erases, finished after, so that a kill between leaves nothing behind for long.';
