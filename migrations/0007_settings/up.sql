-- How the alliance settles, who its operator is, and the ledger accounts of everyone who books a statement.

ALTER TABLE alliance
    ADD COLUMN cycle                text    NOT NULL DEFAULT 'monthly'
        CONSTRAINT alliance_cycle_known CHECK (cycle IN ('daily', 'weekly', 'monthly')),
    ADD COLUMN netting              text    NOT NULL DEFAULT 'multilateral'
        CONSTRAINT alliance_netting_known CHECK (netting IN ('multilateral', 'bilateral')),
    ADD COLUMN rounding             text    NOT NULL DEFAULT 'half_up'
        CONSTRAINT alliance_rounding_known CHECK (rounding IN ('half_up', 'half_even')),
    ADD COLUMN cut_off_days         integer NOT NULL DEFAULT 1
        CONSTRAINT alliance_cut_off_range CHECK (cut_off_days BETWEEN 0 AND 28),
    ADD COLUMN draft_days           integer NOT NULL DEFAULT 3
        CONSTRAINT alliance_draft_range CHECK (draft_days BETWEEN 0 AND 28),
    ADD COLUMN dispute_days         integer NOT NULL DEFAULT 8
        CONSTRAINT alliance_dispute_range CHECK (dispute_days BETWEEN 0 AND 28),
    ADD COLUMN due_days             integer NOT NULL DEFAULT 10
        CONSTRAINT alliance_due_range CHECK (due_days BETWEEN 0 AND 28),
    ADD COLUMN operator_entity      text    NOT NULL DEFAULT '',
    ADD COLUMN operator_tax_code    text    NOT NULL DEFAULT '',
    ADD COLUMN fee_tax_basis_points bigint  NOT NULL DEFAULT 0
        CONSTRAINT alliance_fee_tax_range CHECK (fee_tax_basis_points BETWEEN 0 AND 10000),
    ADD COLUMN operator_accounts    jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT alliance_operator_accounts_named CHECK (jsonb_typeof(operator_accounts) = 'object'
            AND operator_accounts - ARRAY['receivable', 'payable', 'points_out', 'points_in', 'bonus', 'bonus_income',
                'fee', 'tax', 'adjustment'] = '{}'),
    ADD CONSTRAINT alliance_days_order
        CHECK (cut_off_days <= draft_days AND draft_days <= dispute_days AND cut_off_days <= due_days);
COMMENT ON COLUMN alliance.cycle IS 'How long a window is, weeks ending with a Sunday. Like netting, rounding and the days it is for windows yet to close: a closed one keeps its own.';
COMMENT ON COLUMN alliance.rounding IS 'Where a half goes when a counterparty''s total is rounded: away from zero, or to the even neighbour.';
COMMENT ON COLUMN alliance.cut_off_days IS 'Like the other three, days after the last day of a window, in the alliance''s zone.';
COMMENT ON COLUMN alliance.operator_entity IS 'Who the operator is at law; empty: called as the alliance is in English.';
COMMENT ON COLUMN alliance.operator_tax_code IS 'Unified social credit code; empty when none is stated.';
COMMENT ON COLUMN alliance.fee_tax_basis_points IS 'VAT contained in the fee, in hundredths of a per cent: 600 is 6 %.';
COMMENT ON COLUMN alliance.operator_accounts IS 'Codes of ledger accounts by name; a missing one is the operator''s built-in one.';

ALTER TABLE partners
    ADD COLUMN accounts jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT partners_accounts_named CHECK (jsonb_typeof(accounts) = 'object'
            AND accounts - ARRAY['receivable', 'payable', 'points_out', 'points_in', 'bonus', 'bonus_income', 'fee',
                'tax', 'adjustment'] = '{}');
COMMENT ON COLUMN partners.accounts IS 'Codes of ledger accounts by name; a missing one is the built-in one.';
