-- A batch's lines of the journal say whose they are, so a partner's conversions in a batch are found by its own lines, and
-- the index of conversions by batch says nothing new: it was one of the four index entries of every conversion.
-- The servers must be stopped for this one.

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

ALTER TABLE batches ADD COLUMN entry_partners smallint[] NOT NULL DEFAULT '{}';
ALTER TABLE batches ALTER COLUMN entry_partners SET STORAGE EXTERNAL, ALTER COLUMN entry_partners SET STATISTICS 0;
UPDATE batches b SET entry_partners = g.places FROM (
    SELECT b.batch_no, array_agg(coalesce(array_position(b.partners, a.partner), 0)::smallint ORDER BY e.place) AS places
    FROM batches b, unnest(b.entry_accounts) WITH ORDINALITY e(account_id, place) JOIN accounts a USING (account_id)
    GROUP BY b.batch_no) g WHERE g.batch_no = b.batch_no;
ALTER TABLE batches ADD CONSTRAINT batches_entry_partners_match CHECK (cardinality(entry_partners) = cardinality(entry_accounts));
COMMENT ON COLUMN batches.entry_partners IS 'Whose line it is, as a place in partners; 0 when that partner is told nothing by this batch.';

CREATE OR REPLACE VIEW entries AS
    SELECT e.account_id, e.entry_no, b.batch_no, e.kind, e.delta, 0::smallint AS contra, e.subject, b.day, e.previous,
        b.partners[e.partner] AS partner
    FROM batches b, unnest(b.entry_accounts, b.entry_numbers, b.entry_kinds, b.entry_deltas, b.entry_subjects, b.entry_previous,
        b.entry_partners) AS e(account_id, entry_no, kind, delta, subject, previous, partner);
COMMENT ON COLUMN entries.partner IS 'Whose account it is; NULL when its batch tells that partner nothing.';

DROP INDEX conversions_by_posting;
