ALTER TABLE reversals DROP CONSTRAINT reversals_state_known;
ALTER TABLE reversals ADD CONSTRAINT reversals_state_known CHECK (state IN (0, 1));
ALTER TABLE batches DROP CONSTRAINT batches_entry_kinds_known;
ALTER TABLE batches ADD CONSTRAINT batches_entry_kinds_known CHECK (0 <= ALL (entry_kinds) AND 15 >= ALL (entry_kinds));
ALTER TABLE conversions DROP CONSTRAINT conversions_accepted_whole, DROP COLUMN accepted_batch, DROP COLUMN accepted_ordinal, DROP COLUMN accepted_day;
ALTER TABLE exposures DROP COLUMN reserved;
DROP TABLE crossing_evidence, crossings;
