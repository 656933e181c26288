-- Benefits: what partners offer to members of each other, the vouchers that come of it, and every use that settles.
-- Additive: servers of the version before may run while this is applied.

CREATE TABLE benefits (
    benefit_id uuid        PRIMARY KEY,
    giver      text        NOT NULL CONSTRAINT benefits_giver_plain CHECK (giver ~ '^[a-z][a-z0-9-]{1,31}$'),
    code       text        NOT NULL CONSTRAINT benefits_code_plain CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    version    bigint      NOT NULL CONSTRAINT benefits_version_positive CHECK (version > 0),
    document   jsonb       NOT NULL,
    -- Who pays for it beside the giver, and the digest of what each pays for, in hexadecimal.
    payers     jsonb       NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL,
    CONSTRAINT benefits_once UNIQUE (giver, code)
);
COMMENT ON TABLE benefits IS 'What a partner offers, as it has put it last. The id is made of giver and code.';

CREATE TABLE benefit_versions (
    benefit_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    document   jsonb       NOT NULL,
    put_by     text        NOT NULL,
    at         timestamptz NOT NULL,
    CONSTRAINT benefit_versions_key PRIMARY KEY (benefit_id, version)
);
COMMENT ON TABLE benefit_versions IS 'Every version of a benefit that ever was, never changed.';

CREATE TABLE benefit_approvals (
    benefit_id  uuid        NOT NULL,
    payer       text        NOT NULL,
    -- Of what it pays for: a version that changes nothing of that needs no other approval.
    digest      bytea       NOT NULL CONSTRAINT benefit_approvals_digest_length CHECK (octet_length(digest) = 32),
    version     bigint      NOT NULL,
    approved_by text        NOT NULL,
    at          timestamptz NOT NULL,
    CONSTRAINT benefit_approvals_key PRIMARY KEY (benefit_id, payer, digest)
);
COMMENT ON TABLE benefit_approvals IS 'Who pays for another''s benefit has said yes to exactly that; payer is a partner''s slug or operator.';

CREATE TABLE stocks (
    benefit_id uuid   PRIMARY KEY,
    quota      bigint CONSTRAINT stocks_quota_range CHECK (quota >= 0),
    taken      bigint NOT NULL DEFAULT 0 CONSTRAINT stocks_taken_range CHECK (taken >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE stocks IS 'Vouchers of a benefit that count, and how many may. A quota that was cut may be below what was taken: then no more are.';

CREATE TABLE benefit_codes (
    code_no    bigserial   PRIMARY KEY,
    benefit_id uuid        NOT NULL,
    hash       uuid        NOT NULL CONSTRAINT benefit_codes_once UNIQUE,
    sealed     bytea       NOT NULL,
    voucher_id uuid,
    added_at   timestamptz NOT NULL
);
CREATE INDEX benefit_codes_free ON benefit_codes (benefit_id, code_no) WHERE voucher_id IS NULL;
CREATE INDEX benefit_codes_given ON benefit_codes (voucher_id) WHERE voucher_id IS NOT NULL;
COMMENT ON TABLE benefit_codes IS 'Codes that a giver has uploaded, each given to one voucher and never again.';

CREATE TABLE benefit_terms (
    terms_id uuid  PRIMARY KEY,
    body     jsonb NOT NULL CONSTRAINT benefit_terms_once UNIQUE
);
COMMENT ON TABLE benefit_terms IS 'Each set of terms a voucher was ever claimed under, once, by content.';

CREATE TABLE tier_maps (
    giver      text NOT NULL,
    brand      text NOT NULL,
    tier       text NOT NULL,
    recognised text NOT NULL,
    CONSTRAINT tier_maps_key PRIMARY KEY (giver, brand, tier)
);
COMMENT ON TABLE tier_maps IS 'Which tier of its own ladder a giver sees in an earned tier of another brand.';

CREATE TABLE vouchers (
    voucher_id     uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL,
    benefit_id     uuid        NOT NULL,
    brand          text        NOT NULL,
    giver          text        NOT NULL,
    terms_id       uuid        NOT NULL,
    state          smallint    NOT NULL CONSTRAINT vouchers_state_known CHECK (state BETWEEN 0 AND 5),
    -- As it was first answered.
    first_state    smallint    NOT NULL CONSTRAINT vouchers_first_known CHECK (first_state IN (0, 1)),
    uses           integer     NOT NULL CONSTRAINT vouchers_uses_positive CHECK (uses > 0),
    used           integer     NOT NULL DEFAULT 0,
    settled        bigint      NOT NULL DEFAULT 0 CONSTRAINT vouchers_settled_range CHECK (settled >= 0),
    token          uuid        NOT NULL,
    -- Pairs points, last day, as in conversions.
    lots_out       bigint[]    NOT NULL,
    entry_no       bigint      NOT NULL,
    use_by         date        NOT NULL,
    reserved_until timestamptz,
    reference      text,
    code_hash      uuid,
    code_sealed    bytea,
    at             timestamptz NOT NULL,
    day            date        NOT NULL,
    batch_no       bigint      NOT NULL,
    version        bigint      NOT NULL DEFAULT 1,
    CONSTRAINT vouchers_used_within CHECK (used BETWEEN 0 AND uses),
    CONSTRAINT vouchers_redeemed_when CHECK ((state = 3) = (used = uses)),
    CONSTRAINT vouchers_code_whole CHECK ((code_hash IS NULL) = (code_sealed IS NULL))
) WITH (fillfactor = 70);
ALTER TABLE vouchers ALTER COLUMN lots_out SET STATISTICS 0;
CREATE INDEX vouchers_of_account ON vouchers (account_id, benefit_id, day);
CREATE INDEX vouchers_of_benefit ON vouchers (benefit_id, at);
CREATE INDEX vouchers_open ON vouchers (use_by) WHERE state IN (1, 2);
CREATE INDEX vouchers_reserved ON vouchers (reserved_until) WHERE state = 0;
COMMENT ON TABLE vouchers IS 'A member''s right to one benefit. Only state, used, settled and version change, and when a reservation is confirmed what was paid.';
COMMENT ON COLUMN vouchers.state IS '0 reserved, 1 issued, 2 partly redeemed, 3 redeemed, 4 expired, 5 cancelled';
COMMENT ON COLUMN vouchers.code_hash IS 'What is looked up; NULL where the code is the giver''s own, in benefit_codes.';

CREATE TABLE voucher_uses (
    use_id     uuid        PRIMARY KEY,
    voucher_id uuid        NOT NULL,
    account_id uuid        NOT NULL,
    terms_id   uuid        NOT NULL,
    kind       smallint    NOT NULL CONSTRAINT voucher_uses_kind_known CHECK (kind BETWEEN 0 AND 3),
    cost       bigint      NOT NULL,
    nth        integer     NOT NULL CONSTRAINT voucher_uses_nth_range CHECK (nth >= 0),
    token      uuid        NOT NULL,
    bill       bigint,
    discount   bigint,
    store      text,
    till       text,
    receipt    text,
    reason     text,
    reference  text,
    asked_by   text        NOT NULL,
    reverses   uuid,
    reversed   boolean     NOT NULL DEFAULT false,
    window_id  uuid        NOT NULL,
    batch_no   bigint      NOT NULL,
    ordinal    integer     NOT NULL CONSTRAINT voucher_uses_ordinal_positive CHECK (ordinal > 0),
    giver      text        NOT NULL,
    at         timestamptz NOT NULL,
    day        date        NOT NULL,
    CONSTRAINT voucher_uses_sign CHECK ((cost >= 0 AND kind IN (0, 1)) OR (cost <= 0 AND kind IN (2, 3))),
    CONSTRAINT voucher_uses_reverses_when CHECK ((kind IN (2, 3)) = (reverses IS NOT NULL))
);
CREATE INDEX voucher_uses_of_voucher ON voucher_uses (voucher_id);
-- However tills race: no use of a voucher stands twice.
CREATE UNIQUE INDEX voucher_uses_once ON voucher_uses (voucher_id, nth) WHERE kind = 1 AND NOT reversed;
CREATE UNIQUE INDEX voucher_uses_taken_back_once ON voucher_uses (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX voucher_uses_of_receipt ON voucher_uses (giver, receipt) WHERE receipt IS NOT NULL AND kind = 1 AND NOT reversed;
COMMENT ON TABLE voucher_uses IS 'What was used of a voucher or settled with it; nothing changes but reversed. The line of the journal of kind 20 names it.';
COMMENT ON COLUMN voucher_uses.kind IS '0 issue, 1 redemption, 2 a redemption taken back, 3 an issue given back';

CREATE TABLE passes (
    hash       uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX passes_over ON passes (expires_at);
COMMENT ON TABLE passes IS 'Codes by which a member is recognised at a till for two minutes: only the hash is kept. Wire time.';

ALTER TABLE memberships
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}'
    CONSTRAINT memberships_tags_few CHECK (cardinality(tags) <= 32);
COMMENT ON COLUMN memberships.tags IS 'What its brand has put on the member, for benefits that are for chosen ones.';

ALTER TABLE batches DROP CONSTRAINT batches_entry_kinds_known;
ALTER TABLE batches ADD CONSTRAINT batches_entry_kinds_known CHECK (0 <= ALL (entry_kinds) AND 20 >= ALL (entry_kinds)) NOT VALID;
COMMENT ON COLUMN directory.kind IS 'What subject is: 0 nothing, 1 membership, 2 conversion, 3 movement, 4 undo or reversal, 5 link, 6 voucher, 7 a use of one, 8 a voucher by its code';
