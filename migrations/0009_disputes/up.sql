-- Disputes of settlement lines, and reconciliations of a participant's own list with its lines. Additive.
-- Money is whole millionths of the alliance's currency, as who disputes sees it: positive is owed to it. A dispute changes
-- neither statement nor obligation; what is decided is an adjustment of the window open then.

CREATE TABLE disputes (
    dispute_id        uuid        PRIMARY KEY,
    window_id         uuid        NOT NULL,
    opener            text        NOT NULL,
    counterparty      text,
    kind              text        NOT NULL CONSTRAINT disputes_kind_known
        CHECK (kind IN ('missing', 'duplicate', 'amount', 'rate', 'eligibility', 'identity')),
    line_id           uuid,
    conversion_id     uuid,
    reference         text        CONSTRAINT disputes_reference_length CHECK (char_length(reference) BETWEEN 1 AND 128),
    origin            text,
    stated_points     bigint,
    stated_amount     bigint,
    claimed_points    bigint      CONSTRAINT disputes_claimed_points_range
        CHECK (claimed_points BETWEEN -9007199254740991 AND 9007199254740991),
    claimed_amount    bigint,
    claim             bigint      CONSTRAINT disputes_claim_not_zero CHECK (claim <> 0),
    note              text        NOT NULL CONSTRAINT disputes_note_length CHECK (char_length(note) BETWEEN 1 AND 500),
    reconciliation_id uuid,
    opened_at         timestamptz NOT NULL,
    answer_by         date        NOT NULL,
    state             text        NOT NULL CONSTRAINT disputes_state_known
        CHECK (state IN ('open', 'answered', 'decided', 'withdrawn')),
    state_at          timestamptz NOT NULL,
    CONSTRAINT disputes_two_parties CHECK (opener <> counterparty),
    CONSTRAINT disputes_line_names_its_counterparty CHECK (line_id IS NULL OR counterparty IS NOT NULL),
    CONSTRAINT disputes_origin_is_a_party CHECK (origin IN (opener, counterparty)),
    CONSTRAINT disputes_line_or_missing CHECK ((line_id IS NULL) = (kind = 'missing')
        AND (line_id IS NULL) = (stated_amount IS NULL) AND (line_id IS NOT NULL OR reference IS NOT NULL))
);
-- The same line for the same reason is the same dispute; so is the same missing reference.
CREATE UNIQUE INDEX disputes_line_once ON disputes (line_id, kind) WHERE line_id IS NOT NULL;
CREATE UNIQUE INDEX disputes_reference_once ON disputes (opener, window_id, reference) WHERE line_id IS NULL;
CREATE INDEX disputes_by_opener ON disputes (opener, dispute_id);
CREATE INDEX disputes_by_counterparty ON disputes (counterparty, dispute_id);
CREATE INDEX disputes_by_window ON disputes (window_id);
COMMENT ON TABLE disputes IS 'What a participant says is wrong with a line of a published window, or missing from it. Only state and state_at change, and a counterparty is named where there was none.';
COMMENT ON COLUMN disputes.counterparty IS 'Who is asked to answer; NULL for what is missing while nobody is named: an upheld decision names one.';
COMMENT ON COLUMN disputes.origin IS 'The side that owes by lines of the disputed one''s direction; NULL: whoever the award makes the debtor.';
COMMENT ON COLUMN disputes.claim IS 'What the opener wants added to what it is owed; NULL when it has named no money.';
COMMENT ON COLUMN disputes.answer_by IS 'The last day on which the counterparty is waited for; after it, operators may decide without its answer.';

CREATE TABLE dispute_answers (
    dispute_id  uuid        PRIMARY KEY,
    answer      text        NOT NULL CONSTRAINT dispute_answers_answer_known CHECK (answer IN ('accepted', 'rejected')),
    note        text        NOT NULL CONSTRAINT dispute_answers_note_length CHECK (char_length(note) BETWEEN 1 AND 500),
    answered_by text        NOT NULL,
    at          timestamptz NOT NULL
);
COMMENT ON TABLE dispute_answers IS 'What the counterparty says to a dispute, once.';

CREATE TABLE dispute_decisions (
    dispute_id    uuid        NOT NULL,
    place         smallint    NOT NULL CONSTRAINT dispute_decisions_place_range CHECK (place BETWEEN 1 AND 100),
    outcome       text        NOT NULL CONSTRAINT dispute_decisions_outcome_known CHECK (outcome IN ('upheld', 'rejected')),
    award         bigint      CONSTRAINT dispute_decisions_award_not_zero CHECK (award <> 0),
    counterparty  text,
    reason        text        NOT NULL CONSTRAINT dispute_decisions_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    proposed_by   text        NOT NULL,
    proposed_at   timestamptz NOT NULL,
    settled       text        CONSTRAINT dispute_decisions_settled_known CHECK (settled IN ('decided', 'taken_back')),
    settled_by    text,
    settled_at    timestamptz,
    adjustment_id uuid        CONSTRAINT dispute_decisions_adjustment_once UNIQUE,
    CONSTRAINT dispute_decisions_key PRIMARY KEY (dispute_id, place),
    CONSTRAINT dispute_decisions_upheld_names CHECK (counterparty IS NULL OR outcome = 'upheld'),
    CONSTRAINT dispute_decisions_upheld_awards CHECK ((outcome = 'upheld') = (award IS NOT NULL)),
    CONSTRAINT dispute_decisions_settled_whole CHECK ((settled IS NULL) = (settled_by IS NULL) AND (settled IS NULL) = (settled_at IS NULL)),
    CONSTRAINT dispute_decisions_four_eyes CHECK (settled IS DISTINCT FROM 'decided' OR settled_by <> proposed_by),
    CONSTRAINT dispute_decisions_upheld_adjusts CHECK ((adjustment_id IS NOT NULL) = (outcome = 'upheld' AND settled IS NOT DISTINCT FROM 'decided'))
);
CREATE UNIQUE INDEX dispute_decisions_one ON dispute_decisions (dispute_id) WHERE settled IS DISTINCT FROM 'taken_back';
COMMENT ON TABLE dispute_decisions IS 'Decisions one operator proposed; another one''s same words decide, or somebody takes the proposal back.';
COMMENT ON COLUMN dispute_decisions.counterparty IS 'Who gives the award, where the dispute names nobody.';
COMMENT ON COLUMN dispute_decisions.award IS 'What the opener is given, negative what it gives back; the adjustment''s amount as the opener sees it.';

CREATE TABLE reconciliations (
    reconciliation_id uuid        PRIMARY KEY,
    window_id         uuid        NOT NULL,
    participant       text        NOT NULL,
    digest            bytea       NOT NULL CONSTRAINT reconciliations_digest_size CHECK (octet_length(digest) = 32),
    compared          text[]      NOT NULL,
    state             text        NOT NULL CONSTRAINT reconciliations_state_known CHECK (state IN ('running', 'completed')),
    started_at        timestamptz NOT NULL,
    completed_at      timestamptz,
    list_rows         bigint      NOT NULL,
    lines             bigint      NOT NULL,
    results           text,
    differences       bigint,
    handled           bigint      NOT NULL DEFAULT 0,
    opened            bigint      NOT NULL DEFAULT 0,
    known             bigint      NOT NULL DEFAULT 0,
    skipped           bigint      NOT NULL DEFAULT 0,
    CONSTRAINT reconciliations_completed_whole CHECK ((state = 'completed') = (completed_at IS NOT NULL)
        AND (completed_at IS NULL) = (results IS NULL) AND (completed_at IS NULL) = (differences IS NULL)),
    CONSTRAINT reconciliations_handled_within CHECK (handled BETWEEN 0 AND coalesce(differences, 0)
        AND opened + known + skipped = handled)
);
CREATE UNIQUE INDEX reconciliations_list_once ON reconciliations (window_id, participant, digest) WHERE state = 'completed';
CREATE INDEX reconciliations_by_participant ON reconciliations (participant, window_id, reconciliation_id);
COMMENT ON TABLE reconciliations IS 'A participant''s own list of a window, compared with its lines. The list itself is not kept.';
COMMENT ON COLUMN reconciliations.digest IS 'SHA-256 over how the list was to be read and its bytes: the same one again is the same reconciliation.';
COMMENT ON COLUMN reconciliations.results IS 'JSON: per result, how many and what they add up to at either side.';
COMMENT ON COLUMN reconciliations.handled IS 'How many differences, from the first, have been turned into disputes: opened now, known before, or skipped.';

CREATE TABLE reconciliation_differences (
    reconciliation_id uuid    NOT NULL,
    first_place       bigint  NOT NULL CONSTRAINT reconciliation_differences_first_positive CHECK (first_place > 0),
    places            integer NOT NULL CONSTRAINT reconciliation_differences_places_range CHECK (places BETWEEN 1 AND 1024),
    body              bytea   NOT NULL,
    CONSTRAINT reconciliation_differences_key PRIMARY KEY (reconciliation_id, first_place)
);
ALTER TABLE reconciliation_differences ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 0;
COMMENT ON TABLE reconciliation_differences IS 'What differs, in runs of up to 1,024: JSON objects each ended by a line feed, compressed by zstd. Those of old reconciliations are let go.';

CREATE FUNCTION dispute_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state IN ('decided', 'withdrawn')
       OR to_jsonb(NEW) - ARRAY['state', 'state_at', 'counterparty'] <> to_jsonb(OLD) - ARRAY['state', 'state_at', 'counterparty']
       OR (NEW.counterparty IS DISTINCT FROM OLD.counterparty AND (OLD.counterparty IS NOT NULL OR NEW.state <> 'decided')) THEN
        RAISE EXCEPTION 'of a dispute only its state changes, until it is decided' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER disputes_final BEFORE UPDATE OR DELETE ON disputes FOR EACH ROW EXECUTE FUNCTION dispute_is_final();

CREATE FUNCTION dispute_answer_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an answer to a dispute is never changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER dispute_answers_final BEFORE UPDATE OR DELETE ON dispute_answers FOR EACH ROW EXECUTE FUNCTION dispute_answer_is_final();

CREATE FUNCTION dispute_decision_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.settled IS NOT NULL
       OR to_jsonb(NEW) - ARRAY['settled', 'settled_by', 'settled_at', 'adjustment_id']
          <> to_jsonb(OLD) - ARRAY['settled', 'settled_by', 'settled_at', 'adjustment_id'] THEN
        RAISE EXCEPTION 'a proposed decision is settled once and never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dispute_decisions_final BEFORE UPDATE OR DELETE ON dispute_decisions FOR EACH ROW EXECUTE FUNCTION dispute_decision_is_final();

CREATE FUNCTION reconciliation_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'completed' AND (TG_OP = 'DELETE'
       OR to_jsonb(NEW) - ARRAY['handled', 'opened', 'known', 'skipped'] <> to_jsonb(OLD) - ARRAY['handled', 'opened', 'known', 'skipped']
       OR NEW.handled < OLD.handled) THEN
        RAISE EXCEPTION 'a completed reconciliation is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER reconciliations_final BEFORE UPDATE OR DELETE ON reconciliations FOR EACH ROW EXECUTE FUNCTION reconciliation_is_final();
