CREATE INDEX conversions_by_posting ON conversions (batch_no, ordinal);
DROP VIEW entries;
CREATE VIEW entries AS
    SELECT e.account_id, e.entry_no, b.batch_no, e.kind, e.delta, 0::smallint AS contra, e.subject, b.day, e.previous
    FROM batches b, unnest(b.entry_accounts, b.entry_numbers, b.entry_kinds, b.entry_deltas, b.entry_subjects, b.entry_previous)
        AS e(account_id, entry_no, kind, delta, subject, previous);
COMMENT ON VIEW entries IS 'The journal: one line of a posting on one membership account, with its contra account; never updated, never deleted.';
COMMENT ON COLUMN entries.contra IS '0 the programme''s issuance account, 1 the account''s own holds';
ALTER TABLE batches DROP CONSTRAINT batches_entry_partners_match, DROP COLUMN entry_partners;
