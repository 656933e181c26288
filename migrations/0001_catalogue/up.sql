-- The catalogue: what both brands published. Read whole by every server, raised in one step under the fence.
-- Money is whole millionths of the alliance's currency, points are whole, rates are fractions in lowest terms.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE alliance (
    id                smallint    NOT NULL DEFAULT 1,
    slug              text        NOT NULL CONSTRAINT alliance_slug_plain CHECK (slug ~ '^[a-z][a-z0-9-]{1,31}$'),
    name_en           text        NOT NULL,
    name_zh           text        NOT NULL,
    currency          text        NOT NULL CONSTRAINT alliance_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    zone              text        NOT NULL,
    trust_domain      text        NOT NULL CONSTRAINT alliance_trust_domain_plain CHECK (trust_domain ~ '^[a-z0-9.-]{3,253}$'),
    sandbox_start     date,
    clock_offset_us   bigint      NOT NULL DEFAULT 0,
    catalogue_version bigint      NOT NULL CONSTRAINT alliance_catalogue_version_positive CHECK (catalogue_version > 0),
    quote_ttl_s       integer     NOT NULL CONSTRAINT alliance_quote_ttl_range CHECK (quote_ttl_s BETWEEN 10 AND 86400),
    link_cooling_days integer     NOT NULL CONSTRAINT alliance_link_cooling_range CHECK (link_cooling_days BETWEEN 0 AND 90),
    bilateral         boolean     NOT NULL,
    mandate           text        CONSTRAINT alliance_mandate_stated CHECK (mandate <> ''),
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT alliance_key PRIMARY KEY (id),
    CONSTRAINT alliance_single CHECK (id = 1),
    CONSTRAINT alliance_clock_sandbox CHECK (clock_offset_us = 0 OR sandbox_start IS NOT NULL)
);
COMMENT ON TABLE alliance IS 'The federation this deployment serves: exactly one row, made by the first publication.';
COMMENT ON COLUMN alliance.clock_offset_us IS 'Business time is the database clock plus these microseconds, negative while a sandbox lives in the past; only a sandbox may have any, and it only grows.';
COMMENT ON COLUMN alliance.catalogue_version IS 'Raised by every change of the catalogue, with the fence held exclusively.';
COMMENT ON COLUMN alliance.mandate IS 'Why the operator may hold both approvals of a proposal; NULL when it may not.';

CREATE TABLE partners (
    slug              text     NOT NULL CONSTRAINT partners_slug_plain CHECK (slug ~ '^[a-z][a-z0-9-]{1,31}$'),
    name_en           text     NOT NULL,
    name_zh           text     NOT NULL,
    trade             text     NOT NULL,
    legal_entity      text     NOT NULL,
    tax_code          text     NOT NULL,
    status            text     NOT NULL CONSTRAINT partners_status_known
                               CHECK (status IN ('joining', 'active', 'suspended', 'leaving', 'left')),
    hosted            boolean  NOT NULL,
    endpoint          text,
    programme_code    text     NOT NULL,
    programme_name_en text     NOT NULL,
    programme_name_zh text     NOT NULL,
    scale             smallint NOT NULL CONSTRAINT partners_scale_range CHECK (scale BETWEEN 0 AND 4),
    unit_cost         bigint   NOT NULL CONSTRAINT partners_unit_cost_range CHECK (unit_cost BETWEEN 0 AND 1000000000000),
    expiry_months     integer  NOT NULL CONSTRAINT partners_expiry_range CHECK (expiry_months BETWEEN 1 AND 120),
    tiers             jsonb    NOT NULL CONSTRAINT partners_tiers_one_to_five
                               CHECK (jsonb_typeof(tiers) = 'array' AND jsonb_array_length(tiers) BETWEEN 1 AND 5),
    limit_out_day     bigint   CONSTRAINT partners_out_day_range CHECK (limit_out_day BETWEEN 0 AND 9007199254740991),
    limit_out_month   bigint   CONSTRAINT partners_out_month_range CHECK (limit_out_month BETWEEN 0 AND 9007199254740991),
    limit_in_day      bigint   CONSTRAINT partners_in_day_range CHECK (limit_in_day BETWEEN 0 AND 9007199254740991),
    limit_in_month    bigint   CONSTRAINT partners_in_month_range CHECK (limit_in_month BETWEEN 0 AND 9007199254740991),
    exposure_limit    bigint   CONSTRAINT partners_exposure_limit_range CHECK (exposure_limit >= 0),
    CONSTRAINT partners_key PRIMARY KEY (slug),
    CONSTRAINT partners_programme_code_unique UNIQUE (programme_code),
    CONSTRAINT partners_endpoint_if_remote CHECK (hosted = (endpoint IS NULL))
);
COMMENT ON TABLE partners IS 'Brands in our rules and books, each with exactly one programme. Changed only by publishing; proposals keep what was before.';
COMMENT ON COLUMN partners.unit_cost IS 'What a point costs its issuer, in millionths of the alliance''s currency.';
COMMENT ON COLUMN partners.tiers IS 'Lowest rung first: [{code, name_en, name_zh, never_expires}].';
COMMENT ON COLUMN partners.limit_out_day IS 'Debited points out per membership and calendar day of the alliance''s zone; NULL is no limit.';
COMMENT ON COLUMN partners.exposure_limit IS 'Stop line of the partner''s own net, in millionths; NULL is no limit.';

CREATE TABLE agreements (
    from_partner                text        NOT NULL,
    to_partner                  text        NOT NULL,
    version                     bigint      NOT NULL CONSTRAINT agreements_version_positive CHECK (version > 0),
    settlement_price            bigint      NOT NULL CONSTRAINT agreements_price_range CHECK (settlement_price BETWEEN 0 AND 1000000000000),
    fee_basis_points            bigint      NOT NULL CONSTRAINT agreements_fee_range CHECK (fee_basis_points BETWEEN 0 AND 10000),
    fee_payer                   text        NOT NULL CONSTRAINT agreements_fee_payer_known CHECK (fee_payer IN ('from', 'to', 'operator')),
    notice_days                 integer     NOT NULL CONSTRAINT agreements_notice_range CHECK (notice_days BETWEEN 0 AND 365),
    undo_s                      integer     NOT NULL CONSTRAINT agreements_undo_range CHECK (undo_s BETWEEN 0 AND 2592000),
    renews_on_arrival           boolean     NOT NULL,
    exposure_limit              bigint      CONSTRAINT agreements_exposure_limit_range CHECK (exposure_limit >= 0),
    reversal_needs_confirmation boolean     NOT NULL,
    target_pays_spent           boolean     NOT NULL,
    grace_days                  integer     NOT NULL CONSTRAINT agreements_grace_range CHECK (grace_days BETWEEN 0 AND 365),
    dispute_days                integer     NOT NULL CONSTRAINT agreements_dispute_range CHECK (dispute_days BETWEEN 0 AND 365),
    valid_from                  timestamptz NOT NULL,
    superseded_from             timestamptz,
    CONSTRAINT agreements_key PRIMARY KEY (from_partner, to_partner, version),
    CONSTRAINT agreements_from_known FOREIGN KEY (from_partner) REFERENCES partners (slug),
    CONSTRAINT agreements_to_known FOREIGN KEY (to_partner) REFERENCES partners (slug),
    CONSTRAINT agreements_two_partners CHECK (from_partner <> to_partner),
    CONSTRAINT agreements_superseded_after CHECK (superseded_from >= valid_from),
    CONSTRAINT agreements_no_overlap EXCLUDE USING gist (
        from_partner WITH =, to_partner WITH =, tstzrange(valid_from, superseded_from) WITH &&)
);
COMMENT ON TABLE agreements IS 'Dated, versioned terms of one direction between two partners. A version is final but for superseded_from.';
COMMENT ON COLUMN agreements.settlement_price IS 'What the origin owes the target for each credited point, in millionths.';

CREATE TABLE rates (
    from_partner    text        NOT NULL,
    to_partner      text        NOT NULL,
    version         bigint      NOT NULL CONSTRAINT rates_version_positive CHECK (version > 0),
    tier            text        NOT NULL CONSTRAINT rates_tier_named CHECK (tier <> ''),
    num             bigint      NOT NULL CONSTRAINT rates_num_range CHECK (num BETWEEN 1 AND 1000000000),
    den             bigint      NOT NULL CONSTRAINT rates_den_range CHECK (den BETWEEN 1 AND 1000000000),
    step            bigint      NOT NULL CONSTRAINT rates_step_range CHECK (step BETWEEN 1 AND 9007199254740991),
    minimum         bigint      NOT NULL CONSTRAINT rates_minimum_range CHECK (minimum BETWEEN 1 AND 9007199254740991),
    maximum         bigint      CONSTRAINT rates_maximum_range CHECK (maximum BETWEEN 1 AND 9007199254740991),
    public          boolean     NOT NULL,
    valid_from      timestamptz NOT NULL,
    valid_to        timestamptz,
    superseded_from timestamptz,
    CONSTRAINT rates_key PRIMARY KEY (from_partner, to_partner, version),
    CONSTRAINT rates_from_known FOREIGN KEY (from_partner) REFERENCES partners (slug),
    CONSTRAINT rates_to_known FOREIGN KEY (to_partner) REFERENCES partners (slug),
    CONSTRAINT rates_two_partners CHECK (from_partner <> to_partner),
    CONSTRAINT rates_lowest_terms CHECK (gcd(num, den) = 1),
    CONSTRAINT rates_exact CHECK (step % den = 0),
    CONSTRAINT rates_minimum_reachable CHECK (minimum % step = 0),
    CONSTRAINT rates_maximum_reachable CHECK (maximum % step = 0 AND maximum >= minimum),
    CONSTRAINT rates_valid_order CHECK (valid_to > valid_from),
    CONSTRAINT rates_superseded_after CHECK (superseded_from >= valid_from),
    -- LEAST passes over NULL, so an open end that was superseded ends there, and one that was not is unbounded.
    CONSTRAINT rates_no_overlap EXCLUDE USING gist (
        from_partner WITH =, to_partner WITH =, tier WITH =,
        tstzrange(valid_from, least(valid_to, superseded_from)) WITH &&)
);
COMMENT ON TABLE rates IS 'Published rates: num points of the target for den points of the origin. A version is final but for superseded_from.';
COMMENT ON COLUMN rates.tier IS 'Origin tier, or * for any; never NULL, which the exclusion would let overlap. The exact tier wins.';
COMMENT ON COLUMN rates.version IS 'Dense per direction over all tiers, so that direction and version name one row.';
COMMENT ON COLUMN rates.superseded_from IS 'Where a later version takes over; set by the successor in its transaction, and only ever moved earlier.';

CREATE TABLE campaigns (
    from_partner       text        NOT NULL,
    to_partner         text        NOT NULL,
    code               text        NOT NULL CONSTRAINT campaigns_code_plain CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
    version            bigint      NOT NULL CONSTRAINT campaigns_version_positive CHECK (version > 0),
    name_en            text        NOT NULL,
    name_zh            text        NOT NULL,
    tier               text        NOT NULL CONSTRAINT campaigns_tier_named CHECK (tier <> ''),
    bonus_basis_points bigint      NOT NULL CONSTRAINT campaigns_bonus_range CHECK (bonus_basis_points BETWEEN 1 AND 100000),
    funder             text        NOT NULL CONSTRAINT campaigns_funder_known CHECK (funder IN ('from', 'to', 'operator')),
    stacks             boolean     NOT NULL,
    valid_from         timestamptz NOT NULL,
    valid_to           timestamptz NOT NULL,
    superseded_from    timestamptz,
    CONSTRAINT campaigns_key PRIMARY KEY (from_partner, to_partner, code, version),
    CONSTRAINT campaigns_from_known FOREIGN KEY (from_partner) REFERENCES partners (slug),
    CONSTRAINT campaigns_to_known FOREIGN KEY (to_partner) REFERENCES partners (slug),
    CONSTRAINT campaigns_two_partners CHECK (from_partner <> to_partner),
    CONSTRAINT campaigns_valid_order CHECK (valid_to > valid_from),
    CONSTRAINT campaigns_superseded_after CHECK (superseded_from >= valid_from),
    CONSTRAINT campaigns_no_overlap EXCLUDE USING gist (
        from_partner WITH =, to_partner WITH =, code WITH =,
        tstzrange(valid_from, least(valid_to, superseded_from)) WITH &&)
);
COMMENT ON TABLE campaigns IS 'Dated bonuses, floored shares of the base credit, each with a named funder. A version is final but for superseded_from.';
COMMENT ON COLUMN campaigns.bonus_basis_points IS 'Hundredths of a per cent of the base credit: 1000 is +10 %.';

-- History is not rewritten: what was published stays, and only its end may come nearer.
CREATE FUNCTION published_version_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a published version of % is never deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF to_jsonb(NEW) - 'superseded_from' <> to_jsonb(OLD) - 'superseded_from'
       OR NEW.superseded_from IS NULL OR NEW.superseded_from > OLD.superseded_from THEN
        RAISE EXCEPTION 'a published version of % is never changed, only superseded', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreements_final BEFORE UPDATE OR DELETE ON agreements FOR EACH ROW EXECUTE FUNCTION published_version_is_final();
CREATE TRIGGER rates_final BEFORE UPDATE OR DELETE ON rates FOR EACH ROW EXECUTE FUNCTION published_version_is_final();
CREATE TRIGGER campaigns_final BEFORE UPDATE OR DELETE ON campaigns FOR EACH ROW EXECUTE FUNCTION published_version_is_final();

CREATE TABLE proposals (
    proposal_id       uuid        NOT NULL,
    kind              text        NOT NULL CONSTRAINT proposals_kind_known CHECK (kind IN ('alliance', 'partner', 'pair')),
    from_partner      text,
    to_partner        text,
    change            text        NOT NULL,
    state             text        NOT NULL CONSTRAINT proposals_state_known
                                  CHECK (state IN ('proposed', 'approved', 'published', 'withdrawn')),
    proposed_at       timestamptz NOT NULL,
    notice_days       integer     NOT NULL CONSTRAINT proposals_notice_range CHECK (notice_days BETWEEN 0 AND 365),
    published_at      timestamptz,
    published_version bigint,
    mandate           text,
    override_reason   text,
    CONSTRAINT proposals_key PRIMARY KEY (proposal_id),
    CONSTRAINT proposals_sides CHECK (
        (kind = 'alliance' AND from_partner IS NULL AND to_partner IS NULL) OR
        (kind = 'partner' AND from_partner IS NOT NULL AND to_partner IS NULL) OR
        (kind = 'pair' AND from_partner IS NOT NULL AND to_partner IS NOT NULL AND from_partner <> to_partner)),
    CONSTRAINT proposals_published_whole CHECK (
        (state = 'published') = (published_at IS NOT NULL) AND (state = 'published') = (published_version IS NOT NULL))
);
-- One open proposal a subject: a newer one takes its place, so that what is approved is what the catalogue lacks.
CREATE UNIQUE INDEX proposals_one_open ON proposals (kind, coalesce(from_partner, ''), coalesce(to_partner, ''))
    WHERE state IN ('proposed', 'approved');
CREATE INDEX proposals_by_from ON proposals (from_partner, proposal_id);
CREATE INDEX proposals_by_to ON proposals (to_partner, proposal_id);
COMMENT ON TABLE proposals IS 'Changes of the catalogue that were proposed: what is signed, by whom it was approved, and when it was published.';
COMMENT ON COLUMN proposals.change IS 'Canonical JSON (RFC 8785), the very bytes that approvals sign.';
COMMENT ON COLUMN proposals.proposed_at IS 'Business time; the notice of a cut runs from here.';

CREATE TABLE approvals (
    proposal_id uuid        NOT NULL,
    kid         text        NOT NULL,
    side        text        NOT NULL CONSTRAINT approvals_side_known CHECK (side IN ('from', 'to', 'operator')),
    jws         text        NOT NULL,
    approved_at timestamptz NOT NULL,
    CONSTRAINT approvals_key_once PRIMARY KEY (proposal_id, kid),
    CONSTRAINT approvals_proposal_known FOREIGN KEY (proposal_id) REFERENCES proposals (proposal_id)
);
COMMENT ON TABLE approvals IS 'Signatures over a proposal. The same key never counts twice: one row per proposal and key.';
