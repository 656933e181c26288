-- The book: accounts, entries, conversions, keys, exposures, events. Written by the lanes and by nobody else.
-- No foreign keys and no row locks on accounts, entries, conversions and directory: they are keyed by account so
-- that they can be spread over nodes; `hanse audit` proves what a foreign key would.

CREATE TABLE windows (
    window_id   uuid        PRIMARY KEY,
    number      bigint      NOT NULL CONSTRAINT windows_number_unique UNIQUE CONSTRAINT windows_number_positive CHECK (number > 0),
    state       text        NOT NULL CONSTRAINT windows_state_known
                            CHECK (state IN ('open', 'closing', 'closed', 'netted', 'blocked', 'signed', 'published')),
    opened_at   timestamptz NOT NULL,
    closed_at   timestamptz
);
CREATE UNIQUE INDEX windows_one_open ON windows ((true)) WHERE state = 'open';
COMMENT ON TABLE windows IS 'Settlement windows; exactly one is open, and every posting belongs to the one open when it committed.';
INSERT INTO windows (window_id, number, state, opened_at) VALUES (gen_random_uuid(), 1, 'open', now());

CREATE SEQUENCE batch_numbers;
CREATE TABLE batches (
    batch_no     bigint      PRIMARY KEY,
    window_id    uuid        NOT NULL,
    business_at  timestamptz NOT NULL,
    -- Events of this batch per partner, dense from 1: partners[i] has event_counts[i].
    partners     text[]      NOT NULL,
    event_counts integer[]   NOT NULL,
    sealed       boolean     NOT NULL DEFAULT false,
    CONSTRAINT batches_counts_match CHECK (cardinality(partners) = cardinality(event_counts))
);
CREATE INDEX batches_unsealed ON batches (batch_no) WHERE NOT sealed;
COMMENT ON TABLE batches IS 'One row per committed batch of a lane; the sealer numbers its events.';

CREATE TABLE accounts (
    account_id  uuid     PRIMARY KEY,
    partner     text     NOT NULL,
    status      smallint NOT NULL CONSTRAINT accounts_status_known CHECK (status IN (0, 1, 2)),
    tier        text     NOT NULL,
    balance     bigint   NOT NULL CONSTRAINT accounts_balance_range CHECK (balance BETWEEN 0 AND 9007199254740991),
    held        bigint   NOT NULL CONSTRAINT accounts_held_range CHECK (held BETWEEN 0 AND balance),
    owed        bigint   NOT NULL CONSTRAINT accounts_owed_range CHECK (owed BETWEEN 0 AND 9007199254740991),
    -- Triples points, last day, first day usable; days since 1970-01-01, 2147483647 for never, -2147483648 for at once.
    lots        bigint[] NOT NULL CONSTRAINT accounts_lots_triples CHECK (cardinality(lots) % 3 = 0),
    -- Last day of the first lot; NULL when it never ends or there is none.
    next_expiry date,
    -- Business day, out today, in today, out this month, in this month.
    usage       bigint[] NOT NULL CONSTRAINT accounts_usage_five CHECK (cardinality(usage) = 5),
    -- JSON; text, because it is read and written whole with every decision and queried by the audit alone.
    links       text     NOT NULL,
    -- Entry number and day (as in lots) of the last re-dating of all lots; 0 and 0 when there was none.
    redated_no  bigint   NOT NULL,
    redated_to  bigint   NOT NULL,
    as_of       timestamptz,
    version     bigint   NOT NULL CONSTRAINT accounts_version_positive CHECK (version > 0),
    entry_no    bigint   NOT NULL CONSTRAINT accounts_entry_no_range CHECK (entry_no >= 0)
) WITH (fillfactor = 70);
-- A column of its own rather than an expression over lots: most postings leave it as it is, and then no index is touched.
CREATE INDEX accounts_by_next_expiry ON accounts (next_expiry) WHERE next_expiry IS NOT NULL;
COMMENT ON TABLE accounts IS 'A membership''s points account: all that a decision about it needs, in one row with one version per write.';
COMMENT ON COLUMN accounts.status IS '0 active, 1 frozen, 2 closed';
COMMENT ON COLUMN accounts.tier IS 'Earned tier; granted and trial tiers live in memberships alone.';

CREATE TABLE memberships (
    account_id    uuid        PRIMARY KEY,
    partner       text        NOT NULL,
    member_ref    text,
    member_id     uuid        NOT NULL,
    -- The id this membership came with; what it falls back on when links end.
    own_member_id uuid        NOT NULL,
    tier          text        NOT NULL,
    tier_source   text        NOT NULL CONSTRAINT memberships_tier_source_known CHECK (tier_source IN ('earned', 'granted', 'trial')),
    tier_until    date,
    status        text        NOT NULL CONSTRAINT memberships_status_known CHECK (status IN ('active', 'frozen', 'closed')),
    status_reason text,
    identity      text        CONSTRAINT memberships_identity_known CHECK (identity IN ('none', 'phone', 'verified')),
    birth_month   smallint    CONSTRAINT memberships_birth_month_range CHECK (birth_month BETWEEN 1 AND 12),
    member_since  date,
    created_at    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    erased_at     timestamptz
);
CREATE INDEX memberships_by_member ON memberships (member_id);
CREATE INDEX memberships_by_change ON memberships (partner, changed_at, account_id);
COMMENT ON TABLE memberships IS 'Whose an account is. The only place of member_ref; erasure sets it to NULL.';
COMMENT ON COLUMN memberships.member_id IS 'The person, a random id; linked memberships share the older one''s.';

CREATE TABLE links (
    link_id    uuid        PRIMARY KEY,
    a_account  uuid        NOT NULL,
    b_account  uuid        NOT NULL,
    -- NULL once either person is erased: then nobody can say whose the token was.
    a_token    uuid,
    b_token    uuid,
    state      text        NOT NULL CONSTRAINT links_state_known CHECK (state IN ('open', 'ended')),
    opens_at   timestamptz NOT NULL,
    opened_at  timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX links_by_a ON links (a_account);
CREATE INDEX links_by_b ON links (b_account);
COMMENT ON TABLE links IS 'Accepted links; what a decision needs of them is also in both account rows. opens_at is the end of cooling.';

CREATE TABLE directory (
    hash        uuid     PRIMARY KEY,
    account_id  uuid,
    subject     uuid,
    kind        smallint NOT NULL,
    fingerprint uuid,
    refusal     jsonb
);
COMMENT ON TABLE directory IS 'What is unique or looked up without its account: member references, idempotency keys, external references, quotes. Key: 16 bytes of SHA-256.';
COMMENT ON COLUMN directory.kind IS 'What subject is: 0 nothing, 1 membership, 2 conversion, 3 movement, 4 undo or reversal, 5 link';

CREATE TABLE entries (
    account_id uuid     NOT NULL,
    entry_no   bigint   NOT NULL CONSTRAINT entries_no_positive CHECK (entry_no > 0),
    batch_no   bigint   NOT NULL,
    kind       smallint NOT NULL CONSTRAINT entries_kind_known CHECK (kind BETWEEN 0 AND 15),
    delta      bigint   NOT NULL,
    contra     smallint NOT NULL CONSTRAINT entries_contra_known CHECK (contra IN (0, 1)),
    subject    uuid,
    day        date     NOT NULL,
    CONSTRAINT entries_key PRIMARY KEY (account_id, entry_no)
);
COMMENT ON TABLE entries IS 'The journal: one line of a posting on one membership account, with its contra account; never updated, never deleted.';
COMMENT ON COLUMN entries.contra IS '0 the programme''s issuance account, 1 the account''s own holds';

CREATE TABLE terms (
    terms_id uuid  PRIMARY KEY,
    body     jsonb NOT NULL CONSTRAINT terms_body_once UNIQUE
);
COMMENT ON TABLE terms IS 'Frozen terms of conversions, one row per distinct content; never updated, never deleted.';

CREATE TABLE conversions (
    conversion_id   uuid        PRIMARY KEY,
    from_account    uuid        NOT NULL,
    to_account      uuid        NOT NULL,
    from_partner    text        NOT NULL,
    to_partner      text        NOT NULL,
    batch_no        bigint      NOT NULL,
    ordinal         integer     NOT NULL,
    window_id       uuid        NOT NULL,
    terms_id        uuid        NOT NULL,
    debit           bigint      NOT NULL CONSTRAINT conversions_debit_positive CHECK (debit > 0),
    credit          bigint      NOT NULL CONSTRAINT conversions_credit_positive CHECK (credit > 0),
    bonuses         bigint[]    NOT NULL,
    fee             bigint      NOT NULL,
    lots_out        bigint[]    NOT NULL,
    lots_in         bigint[]    NOT NULL,
    from_entry_no   bigint      NOT NULL,
    to_entry_no     bigint      NOT NULL,
    from_token      uuid        NOT NULL,
    to_token        uuid        NOT NULL,
    reference       text,
    quote_id        uuid,
    pulled          boolean     NOT NULL,
    at              timestamptz NOT NULL,
    day             date        NOT NULL,
    undone          boolean     NOT NULL DEFAULT false,
    reversed_credit bigint      NOT NULL DEFAULT 0,
    reversed_bonus  bigint      NOT NULL DEFAULT 0,
    reversed_debit  bigint      NOT NULL DEFAULT 0,
    reversed_fee    bigint      NOT NULL DEFAULT 0,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT conversions_reversed_within CHECK (reversed_credit BETWEEN 0 AND credit AND reversed_debit BETWEEN 0 AND debit)
) WITH (fillfactor = 90);
CREATE INDEX conversions_by_posting ON conversions (batch_no, ordinal);
COMMENT ON TABLE conversions IS 'What a settlement line needs, frozen; only undone, reversed_* and version change. (batch_no, ordinal) also makes the confirmation number.';

CREATE TABLE movements (
    movement_id  uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL,
    partner      text        NOT NULL,
    side         smallint    NOT NULL CONSTRAINT movements_side_known CHECK (side IN (0, 1)),
    kind         smallint,
    points       bigint      NOT NULL CONSTRAINT movements_points_positive CHECK (points > 0),
    owed         bigint      NOT NULL,
    reason       text        NOT NULL,
    reference    text,
    lots         bigint[]    NOT NULL,
    available_on date,
    reverses     uuid,
    entry_no     bigint      NOT NULL,
    batch_no     bigint      NOT NULL,
    at           timestamptz NOT NULL,
    day          date        NOT NULL,
    reversed     bigint      NOT NULL DEFAULT 0,
    version      bigint      NOT NULL DEFAULT 1,
    CONSTRAINT movements_reversed_within CHECK (reversed BETWEEN 0 AND points)
);
COMMENT ON TABLE movements IS 'Credits and debits of hosted accounts, and their reversals; only reversed and version change.';

CREATE TABLE reversals (
    reversal_id   uuid        PRIMARY KEY,
    conversion_id uuid        NOT NULL,
    undo          boolean     NOT NULL,
    state         smallint    NOT NULL CONSTRAINT reversals_state_known CHECK (state IN (0, 1)),
    asked_by      text        NOT NULL,
    needs_confirmation boolean NOT NULL,
    credit        bigint      NOT NULL,
    bonus         bigint      NOT NULL,
    debit         bigint      NOT NULL,
    fee           bigint      NOT NULL,
    lots_back     bigint[]    NOT NULL,
    reason        text        NOT NULL,
    reference     text,
    window_id     uuid        NOT NULL,
    batch_no      bigint      NOT NULL,
    at            timestamptz NOT NULL,
    day           date        NOT NULL,
    version       bigint      NOT NULL DEFAULT 1
);
CREATE INDEX reversals_by_conversion ON reversals (conversion_id);
COMMENT ON TABLE reversals IS 'Undos and reversals of conversions: requested (nothing moved) or completed; each a negative line of its own window.';
COMMENT ON COLUMN reversals.state IS '0 requested, 1 completed';

CREATE TABLE exposures (
    key    text   PRIMARY KEY,
    value  bigint NOT NULL,
    cap    bigint CONSTRAINT exposures_cap_range CHECK (cap >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE exposures IS 'Money not yet settled, in millionths: pair:<from>:<to> gross, partner:<slug> signed net. Rows are made when an agreement is published.';

CREATE TABLE events (
    partner     text        NOT NULL,
    batch_no    bigint      NOT NULL,
    ordinal     integer     NOT NULL CONSTRAINT events_ordinal_positive CHECK (ordinal > 0),
    event_id    uuid        NOT NULL,
    kind        smallint    NOT NULL,
    subject     uuid        NOT NULL,
    body        jsonb,
    CONSTRAINT events_key PRIMARY KEY (partner, batch_no, ordinal)
);
COMMENT ON TABLE events IS 'What happened, for one partner, beside conversions: a conversion is its own event and comes before these in its batch. Sequence = feed.first_sequence + ordinal - 1; a NULL body is rendered from the subject.';

CREATE TABLE feed (
    partner        text   NOT NULL,
    first_sequence bigint NOT NULL CONSTRAINT feed_first_positive CHECK (first_sequence > 0),
    events         bigint NOT NULL CONSTRAINT feed_events_positive CHECK (events > 0),
    batch_no       bigint NOT NULL,
    CONSTRAINT feed_key PRIMARY KEY (partner, first_sequence),
    CONSTRAINT feed_batch_once UNIQUE (partner, batch_no)
);
COMMENT ON TABLE feed IS 'The dense sequence per partner: each sealed batch takes the next run of numbers.';
