ALTER TABLE partners DROP COLUMN accounts;
ALTER TABLE alliance
    DROP CONSTRAINT alliance_days_order,
    DROP COLUMN cycle,
    DROP COLUMN netting,
    DROP COLUMN rounding,
    DROP COLUMN cut_off_days,
    DROP COLUMN draft_days,
    DROP COLUMN dispute_days,
    DROP COLUMN due_days,
    DROP COLUMN operator_entity,
    DROP COLUMN operator_tax_code,
    DROP COLUMN fee_tax_basis_points,
    DROP COLUMN operator_accounts;
