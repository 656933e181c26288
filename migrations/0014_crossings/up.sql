-- Conversions over two ledgers (docs/decisions/0017): what is on its way, what it has reserved, and what was posted of it.
-- Additive: servers of the version before may run while this is applied.

CREATE TABLE crossings (
    crossing_id     uuid        PRIMARY KEY,
    kind            smallint    NOT NULL CONSTRAINT crossings_kind_known CHECK (kind BETWEEN 0 AND 2),
    conversion_id   uuid        NOT NULL,
    state           smallint    NOT NULL CONSTRAINT crossings_state_known CHECK (state BETWEEN 0 AND 6),
    from_account    uuid        NOT NULL,
    to_account      uuid        NOT NULL,
    from_partner    text        NOT NULL,
    to_partner      text        NOT NULL,
    terms_id        uuid        NOT NULL,
    debit           bigint      NOT NULL CONSTRAINT crossings_debit_range CHECK (debit BETWEEN 0 AND 9007199254740991),
    credit          bigint      NOT NULL CONSTRAINT crossings_credit_positive CHECK (credit > 0),
    bonuses         bigint[]    NOT NULL,
    fee             bigint      NOT NULL,
    -- Pairs points, last day, as in conversions: asked of the source, held there, credited at the target.
    lots_wanted     bigint[]    NOT NULL,
    lots_held       bigint[]    NOT NULL,
    lots_arriving   bigint[]    NOT NULL,
    source_entry_no bigint      NOT NULL,
    from_token      uuid        NOT NULL,
    to_token        uuid        NOT NULL,
    reference       text,
    quote_id        uuid,
    pulled          boolean     NOT NULL,
    asked_by        text        NOT NULL,
    batch_no        bigint      NOT NULL,
    ordinal         integer     NOT NULL,
    at              timestamptz NOT NULL,
    day             date        NOT NULL,
    -- Why it was released or is in doubt.
    cause           text,
    in_doubt        boolean     NOT NULL DEFAULT false,
    version         bigint      NOT NULL DEFAULT 1,
    -- Wire time.
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts        integer     NOT NULL DEFAULT 0,
    note            text,
    CONSTRAINT crossings_place UNIQUE (batch_no, ordinal)
) WITH (fillfactor = 70);
CREATE INDEX crossings_due ON crossings (due_at) WHERE state NOT IN (3, 6);
CREATE INDEX crossings_by_conversion ON crossings (conversion_id);
CREATE INDEX crossings_open_from ON crossings (from_account) WHERE state NOT IN (3, 6);
CREATE INDEX crossings_open_to ON crossings (to_account) WHERE state NOT IN (3, 6);
ALTER TABLE crossings
    ALTER COLUMN bonuses       SET STATISTICS 0,
    ALTER COLUMN lots_wanted   SET STATISTICS 0,
    ALTER COLUMN lots_held     SET STATISTICS 0,
    ALTER COLUMN lots_arriving SET STATISTICS 0;
COMMENT ON TABLE crossings IS 'A conversion, undo or reversal of which a side is kept elsewhere, from accepted to its end. The book writes all but due_at, attempts and note, which are the caller''s of partners.';
COMMENT ON COLUMN crossings.kind IS '0 conversion, 1 undo, 2 reversal; the id is the conversion''s, or the reversal''s';
COMMENT ON COLUMN crossings.state IS '0 holding, 1 crediting, 2 capturing, 3 done, 4 voiding, 5 releasing, 6 released';
COMMENT ON COLUMN crossings.source_entry_no IS 'The source account''s newest entry when a hosted source''s lots were taken: later re-datings met them too.';
COMMENT ON COLUMN crossings.due_at IS 'When any server may make the next call; whoever takes it moves it on.';

CREATE TABLE crossing_evidence (
    crossing_id uuid        NOT NULL,
    call        text        NOT NULL CONSTRAINT crossing_evidence_call_known CHECK (call IN ('hold', 'credit', 'capture', 'void', 'release', 'resolution')),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    by          text        NOT NULL,
    -- Of what makes it the same document again: an answer that was repeated is kept once.
    digest      bytea       NOT NULL CONSTRAINT crossing_evidence_digest_length CHECK (octet_length(digest) = 32),
    document    text        NOT NULL,
    CONSTRAINT crossing_evidence_once PRIMARY KEY (crossing_id, call, by, digest)
);
COMMENT ON TABLE crossing_evidence IS 'Signed answers of partners, and who resolved what was in doubt; never updated, never deleted.';

ALTER TABLE exposures ADD COLUMN reserved bigint NOT NULL DEFAULT 0 CONSTRAINT exposures_reserved_range CHECK (reserved >= 0);
COMMENT ON COLUMN exposures.reserved IS 'What crossings that are not yet posted may add; the stop line counts it.';

ALTER TABLE conversions
    ADD COLUMN accepted_batch   bigint,
    ADD COLUMN accepted_ordinal integer,
    ADD COLUMN accepted_day     date,
    ADD CONSTRAINT conversions_accepted_whole CHECK ((accepted_batch IS NULL) = (accepted_ordinal IS NULL) AND (accepted_batch IS NULL) = (accepted_day IS NULL)) NOT VALID;
COMMENT ON COLUMN conversions.accepted_batch IS 'Of one that crossed: where it was accepted. Makes its confirmation number, and the day counted in the members'' limits.';

ALTER TABLE batches DROP CONSTRAINT batches_entry_kinds_known;
ALTER TABLE batches ADD CONSTRAINT batches_entry_kinds_known CHECK (0 <= ALL (entry_kinds) AND 17 >= ALL (entry_kinds)) NOT VALID;

ALTER TABLE reversals DROP CONSTRAINT reversals_state_known;
ALTER TABLE reversals ADD CONSTRAINT reversals_state_known CHECK (state IN (0, 1, 2, 3)) NOT VALID;
COMMENT ON COLUMN reversals.state IS '0 requested, 1 completed, 2 pending (it crosses), 3 refused';
