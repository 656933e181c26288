-- A payment that a bank's list told keeps the whole of its row beside the payer's reference, so that a list brought again is
-- known by its rows, and one payer may use a reference for several payments. Additive: payments recorded by hand have none.

ALTER TABLE payments ADD COLUMN entry text CONSTRAINT payments_entry_length CHECK (char_length(entry) BETWEEN 1 AND 255);
COMMENT ON COLUMN payments.entry IS 'Day, amount, payer and reference of the row of a bank''s list, with tabs between; null when recorded by hand.';
CREATE UNIQUE INDEX payments_entry_once ON payments (entry) WHERE entry IS NOT NULL;
ALTER TABLE payments DROP CONSTRAINT payments_reference_once;
CREATE UNIQUE INDEX payments_reference_once ON payments (obligation_id, reference) WHERE entry IS NULL;
CREATE INDEX payments_by_reference ON payments (reference);
