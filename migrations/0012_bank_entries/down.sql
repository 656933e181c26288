DROP INDEX payments_by_reference;
DROP INDEX payments_reference_once;
DROP INDEX payments_entry_once;
ALTER TABLE payments ADD CONSTRAINT payments_reference_once UNIQUE (obligation_id, reference);
ALTER TABLE payments DROP COLUMN entry;
