-- Settlement: windows that close, the lines, nets and statements of each, what is owed by whom, and what was paid.
-- Money is whole millionths of the alliance's currency. A participant is a partner's slug, or `operator`.
-- What was signed is never changed or deleted. The servers must be stopped for this one: an earlier one would write
-- reversals without the parts that lines need.

DO $$
DECLARE others bigint;
BEGIN
    -- One that has just ended may still be seen.
    FOR nth IN 1..50 LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT count(*) INTO others FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'hanse book' AND pid <> pg_backend_pid();
        EXIT WHEN others = 0;
        PERFORM pg_sleep(0.1);
    END LOOP;
    IF others > 0 THEN
        RAISE EXCEPTION 'servers of an earlier version are running on this database: stop them, then migrate';
    END IF;
END $$;

-- What a closing window is told, and how far it has come.
ALTER TABLE windows
    ADD COLUMN first_batch    bigint,
    ADD COLUMN last_batch     bigint,
    ADD COLUMN first_day      date,
    ADD COLUMN last_day       date,
    ADD COLUMN statement_by   date,
    ADD COLUMN disputes_until date,
    ADD COLUMN due_on         date,
    ADD COLUMN settings       text,
    ADD COLUMN through_batch  bigint,
    ADD COLUMN issued_at      timestamptz,
    ADD COLUMN published_at   timestamptz,
    ADD COLUMN blocked_by     text,
    ADD CONSTRAINT windows_closed_whole CHECK (state = 'open' OR (closed_at IS NOT NULL AND first_batch IS NOT NULL
        AND last_batch IS NOT NULL AND last_day IS NOT NULL AND statement_by IS NOT NULL AND disputes_until IS NOT NULL
        AND due_on IS NOT NULL AND settings IS NOT NULL AND through_batch BETWEEN first_batch - 1 AND last_batch)),
    ADD CONSTRAINT windows_netted_issued CHECK (state NOT IN ('netted', 'signed', 'published') OR issued_at IS NOT NULL),
    ADD CONSTRAINT windows_blocked_says CHECK ((state = 'blocked') = (blocked_by IS NOT NULL));
COMMENT ON COLUMN windows.opened_at IS 'Business time, as is closed_at.';
COMMENT ON COLUMN windows.first_batch IS 'Batches are numbered under the fence, so those of a window are one run: first_batch to last_batch, empty when last is first - 1.';
COMMENT ON COLUMN windows.settings IS 'Canonical JSON: participants with their legal entities, netting, rounding, currency, as they were when it closed; what it is settled by for ever.';
COMMENT ON COLUMN windows.through_batch IS 'Lines are written up to here.';
-- The migration made the first window by the machine's clock; its postings say when business began.
UPDATE windows w SET opened_at = coalesce((SELECT min(business_at) FROM batches), w.opened_at) WHERE number = 1;

CREATE FUNCTION published_window_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.state IN ('signed', 'published')
       AND to_jsonb(NEW) - ARRAY['state', 'published_at'] <> to_jsonb(OLD) - ARRAY['state', 'published_at']) THEN
        RAISE EXCEPTION 'a signed window is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER windows_final BEFORE UPDATE OR DELETE ON windows FOR EACH ROW EXECUTE FUNCTION published_window_is_final();

-- A reversal gives back each campaign's bonus by itself: the line of each needs its part.
ALTER TABLE reversals ADD COLUMN bonuses bigint[] NOT NULL DEFAULT '{}';
UPDATE reversals r SET bonuses = g.bonuses FROM (
    SELECT a.reversal_id, ARRAY(SELECT (ceil(b.points::numeric * a.after / c.credit)
        - ceil(b.points::numeric * (a.after - a.credit) / c.credit))::bigint
        FROM unnest(c.bonuses) WITH ORDINALITY b(points, i) ORDER BY i) AS bonuses
    FROM (SELECT reversal_id, conversion_id, credit, sum(credit) OVER (PARTITION BY conversion_id ORDER BY batch_no, reversal_id) AS after
        FROM reversals WHERE state = 1) a JOIN conversions c USING (conversion_id)) g WHERE g.reversal_id = r.reversal_id;
COMMENT ON COLUMN reversals.bonuses IS 'What was taken back of each bonus of the conversion, in their order; empty while it is requested.';

CREATE TABLE adjustments (
    adjustment_id uuid        PRIMARY KEY,
    batch_no      bigint      NOT NULL,
    window_id     uuid        NOT NULL,
    from_party    text        NOT NULL,
    to_party      text        NOT NULL,
    amount        bigint      NOT NULL CONSTRAINT adjustments_amount_not_zero CHECK (amount <> 0),
    reason        text        NOT NULL CONSTRAINT adjustments_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    dispute_id    uuid        CONSTRAINT adjustments_one_a_dispute UNIQUE,
    conversion_id uuid,
    asked_by      text        NOT NULL,
    approved_by   text        NOT NULL,
    at            timestamptz NOT NULL,
    day           date        NOT NULL,
    CONSTRAINT adjustments_two_parties CHECK (from_party <> to_party),
    CONSTRAINT adjustments_four_eyes CHECK (asked_by <> approved_by)
);
CREATE INDEX adjustments_by_batch ON adjustments (batch_no);
CREATE INDEX adjustments_by_window ON adjustments (window_id);
CREATE INDEX adjustments_by_conversion ON adjustments (conversion_id) WHERE conversion_id IS NOT NULL;
COMMENT ON TABLE adjustments IS 'What a decision adds to who owes whom, in the window open when it was approved: from_party owes to_party the amount, negative the other way.';

CREATE TABLE adjustment_requests (
    adjustment_id uuid        PRIMARY KEY,
    from_party    text        NOT NULL,
    to_party      text        NOT NULL,
    amount        bigint      NOT NULL,
    reason        text        NOT NULL,
    dispute_id    uuid,
    conversion_id uuid,
    asked_by      text        NOT NULL,
    asked_at      timestamptz NOT NULL,
    state         text        NOT NULL CONSTRAINT adjustment_requests_state_known CHECK (state IN ('asked', 'approved', 'refused')),
    settled_by    text,
    settled_at    timestamptz
);
COMMENT ON TABLE adjustment_requests IS 'Adjustments one person asked for; another approves or refuses each.';

CREATE TABLE line_chunks (
    participant text     NOT NULL,
    first_line  bigint   NOT NULL CONSTRAINT line_chunks_first_positive CHECK (first_line > 0),
    lines       integer  NOT NULL CONSTRAINT line_chunks_lines_range CHECK (lines BETWEEN 1 AND 1024),
    window_id   uuid     NOT NULL,
    first_batch bigint   NOT NULL,
    last_batch  bigint   NOT NULL,
    body        bytea    NOT NULL,
    CONSTRAINT line_chunks_key PRIMARY KEY (participant, first_line),
    CONSTRAINT line_chunks_batches_in_order CHECK (first_batch <= last_batch)
);
ALTER TABLE line_chunks ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 0;
CREATE INDEX line_chunks_by_window ON line_chunks (window_id, participant, first_line);
COMMENT ON TABLE line_chunks IS 'Settlement lines, numbered densely per participant over all windows, in the sequence of their postings.';
COMMENT ON COLUMN line_chunks.body IS 'The lines'' own bytes: canonical JSON, each ended by a line feed, compressed by zstd. A leaf of the window''s tree is a line without its line feed.';

CREATE TABLE tallies (
    window_id   uuid   NOT NULL,
    participant text   NOT NULL,
    first_line  bigint NOT NULL,
    lines       bigint NOT NULL,
    frontier    bytea  NOT NULL,
    groups      bytea  NOT NULL,
    sums        text   NOT NULL,
    CONSTRAINT tallies_key PRIMARY KEY (window_id, participant)
);
COMMENT ON TABLE tallies IS 'How far a participant''s lines of a window have come: the tree and the sums so far, written with each run of lines.';
COMMENT ON COLUMN tallies.frontier IS 'The tree over the lines so far, as the hashes of its complete subtrees.';
COMMENT ON COLUMN tallies.groups IS 'Hashes of the complete subtrees of 1,024 lines, one after the other.';
COMMENT ON COLUMN tallies.sums IS 'JSON: per counterparty, what its lines add up to.';

CREATE TABLE nets (
    window_id    uuid   NOT NULL,
    participant  text   NOT NULL,
    counterparty text   NOT NULL,
    exact        bigint NOT NULL,
    rounded      bigint NOT NULL,
    gross        bigint NOT NULL,
    released     bigint,
    CONSTRAINT nets_key PRIMARY KEY (window_id, participant, counterparty),
    CONSTRAINT nets_two_participants CHECK (participant <> counterparty)
);
COMMENT ON TABLE nets IS 'What the counterparty owes the participant for the window; negative the other way. The counterparty''s own row has the same figures with the sign turned.';
COMMENT ON COLUMN nets.gross IS 'What the lines of the direction participant to counterparty have added to that pair''s exposure.';
COMMENT ON COLUMN nets.released IS 'The batch that took these lines out of the exposures; NULL while they count.';

CREATE TABLE window_exposures (
    window_id uuid   NOT NULL,
    key       text   NOT NULL,
    value     bigint NOT NULL,
    CONSTRAINT window_exposures_key PRIMARY KEY (window_id, key)
);
COMMENT ON TABLE window_exposures IS 'Every exposure at the instant the window ended, under the fence: what its lines are checked against before signing.';

CREATE TABLE releases (
    batch_no   bigint NOT NULL,
    key        text   NOT NULL,
    window_id  uuid   NOT NULL,
    of_window  uuid   NOT NULL,
    with_party text   NOT NULL,
    delta      bigint NOT NULL,
    CONSTRAINT releases_key PRIMARY KEY (batch_no, key, with_party)
);
CREATE INDEX releases_by_window ON releases (window_id);
CREATE INDEX releases_by_lines ON releases (of_window, key);
COMMENT ON TABLE releases IS 'How settled lines left the exposures: value has moved by delta. window_id is the window it was posted in, of_window the lines''; with_party the counterparty of these, empty for all.';

CREATE TABLE statements (
    statement_id uuid   PRIMARY KEY,
    window_id    uuid   NOT NULL,
    number       bigint NOT NULL,
    participant  text   NOT NULL,
    first_line   bigint NOT NULL,
    lines        bigint NOT NULL,
    payload      text   NOT NULL,
    leaf         bytea  NOT NULL CONSTRAINT statements_leaf_size CHECK (octet_length(leaf) = 32),
    leaf_index   bigint NOT NULL,
    closing      bigint NOT NULL,
    state        text   NOT NULL CONSTRAINT statements_state_known CHECK (state IN ('published', 'acknowledged', 'deemed', 'disputed')),
    state_at     timestamptz NOT NULL,
    CONSTRAINT statements_once UNIQUE (window_id, participant),
    CONSTRAINT statements_chain UNIQUE (participant, number)
);
CREATE INDEX statements_unanswered ON statements (window_id) WHERE state = 'published';
COMMENT ON TABLE statements IS 'The signed record of one participant''s window. Only state and state_at change.';
COMMENT ON COLUMN statements.payload IS 'Canonical JSON (RFC 8785), the very bytes that are signed.';
COMMENT ON COLUMN statements.closing IS 'The participant''s position after this window, which the next statement opens with.';

CREATE TABLE statement_signatures (
    statement_id uuid        NOT NULL,
    place        smallint    NOT NULL CONSTRAINT statement_signatures_place_range CHECK (place BETWEEN 0 AND 15),
    kid          text        NOT NULL,
    signer       text        NOT NULL,
    protected    text        NOT NULL,
    signature    text        NOT NULL,
    signed_at    timestamptz NOT NULL,
    CONSTRAINT statement_signatures_key PRIMARY KEY (statement_id, place),
    CONSTRAINT statement_signatures_kid_once UNIQUE (statement_id, kid)
);
COMMENT ON TABLE statement_signatures IS 'Signatures over statements: the alliance''s, made once in the transaction that signed the window, then the participant''s.';
COMMENT ON COLUMN statement_signatures.signer IS '`alliance`, or the partner.';

CREATE TABLE log_leaves (
    leaf_index bigint      PRIMARY KEY CONSTRAINT log_leaves_index_range CHECK (leaf_index >= 0),
    kind       text        NOT NULL CONSTRAINT log_leaves_kind_known CHECK (kind IN ('statement', 'counter_signature', 'key_rotated')),
    subject    text        NOT NULL,
    leaf       bytea       NOT NULL CONSTRAINT log_leaves_leaf_size CHECK (octet_length(leaf) = 32),
    record     text,
    at         timestamptz NOT NULL
);
COMMENT ON TABLE log_leaves IS 'The alliance''s log (RFC 6962): what it has signed, in sequence, without a gap.';
COMMENT ON COLUMN log_leaves.record IS 'What was hashed, where it is stored nowhere else.';

CREATE TABLE checkpoints (
    size   bigint PRIMARY KEY,
    note   text   NOT NULL,
    at     timestamptz NOT NULL
);
COMMENT ON TABLE checkpoints IS 'Signed notes (C2SP tlog-checkpoint) of the log at some sizes; the largest is the current one.';

CREATE TABLE cosignatures (
    size    bigint      NOT NULL,
    partner text        NOT NULL,
    line    text        NOT NULL,
    at      timestamptz NOT NULL,
    CONSTRAINT cosignatures_key PRIMARY KEY (size, partner)
);
COMMENT ON TABLE cosignatures IS 'What partners have signed under a checkpoint as witnesses.';

CREATE TABLE obligations (
    obligation_id uuid   PRIMARY KEY,
    window_id     uuid   NOT NULL,
    debtor        text   NOT NULL,
    creditor      text   NOT NULL,
    debtor_entity text   NOT NULL,
    creditor_entity text NOT NULL,
    amount        bigint NOT NULL CONSTRAINT obligations_amount_positive CHECK (amount > 0),
    paid          bigint NOT NULL DEFAULT 0,
    due_on        date   NOT NULL,
    overdue_at    timestamptz,
    paid_at       timestamptz,
    CONSTRAINT obligations_once UNIQUE (window_id, debtor, creditor),
    CONSTRAINT obligations_paid_within CHECK (paid BETWEEN 0 AND amount),
    CONSTRAINT obligations_paid_when CHECK ((paid = amount) = (paid_at IS NOT NULL))
);
CREATE INDEX obligations_unpaid ON obligations (due_on) WHERE paid < amount;
CREATE INDEX obligations_by_debtor ON obligations (debtor, window_id);
CREATE INDEX obligations_by_creditor ON obligations (creditor, window_id);
COMMENT ON TABLE obligations IS 'One payment duty of one legal entity. `alliance` stands for the alliance''s settlement account.';

CREATE TABLE payments (
    payment_id    uuid        PRIMARY KEY,
    obligation_id uuid        NOT NULL,
    batch_no      bigint      NOT NULL,
    window_id     uuid        NOT NULL,
    amount        bigint      NOT NULL CONSTRAINT payments_amount_positive CHECK (amount > 0),
    paid_on       date        NOT NULL,
    reference     text        NOT NULL CONSTRAINT payments_reference_length CHECK (char_length(reference) BETWEEN 1 AND 255),
    recorded_by   text        NOT NULL,
    at            timestamptz NOT NULL,
    CONSTRAINT payments_reference_once UNIQUE (obligation_id, reference)
);
CREATE INDEX payments_by_window ON payments (window_id);
COMMENT ON TABLE payments IS 'Money that arrived for an obligation, once per reference; final.';

ALTER TABLE alliance_keys DROP CONSTRAINT alliance_keys_purpose_known;
ALTER TABLE alliance_keys ADD CONSTRAINT alliance_keys_purpose_known
    CHECK (purpose IN ('quote', 'statement', 'statement_p256', 'checkpoint'));

CREATE FUNCTION signed_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was signed in % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION statement_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - ARRAY['state', 'state_at'] <> to_jsonb(OLD) - ARRAY['state', 'state_at'] THEN
        RAISE EXCEPTION 'a statement is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statements_final BEFORE UPDATE OR DELETE ON statements FOR EACH ROW EXECUTE FUNCTION statement_is_final();
CREATE TRIGGER statement_signatures_final BEFORE UPDATE OR DELETE ON statement_signatures FOR EACH ROW EXECUTE FUNCTION signed_is_final();
CREATE TRIGGER log_leaves_final BEFORE UPDATE OR DELETE ON log_leaves FOR EACH ROW EXECUTE FUNCTION signed_is_final();
CREATE TRIGGER checkpoints_final BEFORE UPDATE OR DELETE ON checkpoints FOR EACH ROW EXECUTE FUNCTION signed_is_final();
CREATE TRIGGER adjustments_final BEFORE UPDATE OR DELETE ON adjustments FOR EACH ROW EXECUTE FUNCTION signed_is_final();
CREATE TRIGGER payments_final BEFORE UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION signed_is_final();
CREATE TRIGGER releases_final BEFORE UPDATE OR DELETE ON releases FOR EACH ROW EXECUTE FUNCTION signed_is_final();

CREATE FUNCTION signed_lines_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR EXISTS (SELECT FROM windows WHERE window_id = OLD.window_id AND state IN ('signed', 'published')) THEN
        RAISE EXCEPTION 'the lines of a signed window are never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER line_chunks_final BEFORE UPDATE OR DELETE ON line_chunks FOR EACH ROW EXECUTE FUNCTION signed_lines_are_final();
