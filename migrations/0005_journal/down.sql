CREATE TABLE entries_before AS SELECT account_id, entry_no, batch_no, kind, delta, contra, subject, day FROM entries;
DROP VIEW entries;
ALTER TABLE entries_before RENAME TO entries;
ALTER TABLE entries
    ALTER COLUMN account_id SET NOT NULL, ALTER COLUMN entry_no SET NOT NULL, ALTER COLUMN batch_no SET NOT NULL,
    ALTER COLUMN kind SET NOT NULL, ALTER COLUMN delta SET NOT NULL, ALTER COLUMN contra SET NOT NULL, ALTER COLUMN day SET NOT NULL,
    ADD CONSTRAINT entries_no_positive CHECK (entry_no > 0), ADD CONSTRAINT entries_kind_known CHECK (kind BETWEEN 0 AND 15),
    ADD CONSTRAINT entries_contra_known CHECK (contra IN (0, 1)), ADD CONSTRAINT entries_key PRIMARY KEY (account_id, entry_no);
ALTER TABLE accounts ADD COLUMN redated_no bigint NOT NULL DEFAULT 0, ADD COLUMN redated_to bigint NOT NULL DEFAULT 0;
UPDATE accounts SET redated_no = redatings[cardinality(redatings) - 2], redated_to = redatings[cardinality(redatings)]
    WHERE redatings <> '{}';
ALTER TABLE accounts ALTER COLUMN redated_no DROP DEFAULT, ALTER COLUMN redated_to DROP DEFAULT,
    DROP COLUMN redatings, DROP COLUMN last_batch;
ALTER TABLE batches DROP CONSTRAINT batches_entries_match, DROP CONSTRAINT batches_entry_numbers_positive,
    DROP CONSTRAINT batches_entry_kinds_known, DROP COLUMN day, DROP COLUMN entry_accounts, DROP COLUMN entry_numbers,
    DROP COLUMN entry_kinds, DROP COLUMN entry_deltas, DROP COLUMN entry_subjects, DROP COLUMN entry_previous;
ALTER TABLE conversions
    ALTER COLUMN bonuses SET STATISTICS -1, ALTER COLUMN lots_out SET STATISTICS -1, ALTER COLUMN lots_in SET STATISTICS -1;
