-- The journal moves into the batches that wrote it, and an account points at the last batch with an entry of it: a
-- line of the journal costs no row and no index of its own. See docs/decisions/0011. The servers must be stopped for this one.

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

ALTER TABLE batches
    ADD COLUMN day            date,
    ADD COLUMN entry_accounts uuid[]     NOT NULL DEFAULT '{}',
    ADD COLUMN entry_numbers  bigint[]   NOT NULL DEFAULT '{}',
    ADD COLUMN entry_kinds    smallint[] NOT NULL DEFAULT '{}',
    ADD COLUMN entry_deltas   bigint[]   NOT NULL DEFAULT '{}',
    ADD COLUMN entry_subjects uuid[]     NOT NULL DEFAULT '{}',
    ADD COLUMN entry_previous bigint[]   NOT NULL DEFAULT '{}',
    ADD CONSTRAINT batches_entries_match CHECK (
        cardinality(entry_accounts) = cardinality(entry_numbers) AND cardinality(entry_accounts) = cardinality(entry_kinds)
        AND cardinality(entry_accounts) = cardinality(entry_deltas) AND cardinality(entry_accounts) = cardinality(entry_subjects)
        AND cardinality(entry_accounts) = cardinality(entry_previous)),
    ADD CONSTRAINT batches_entry_numbers_positive CHECK (0 < ALL (entry_numbers)),
    ADD CONSTRAINT batches_entry_kinds_known CHECK (0 <= ALL (entry_kinds) AND 15 >= ALL (entry_kinds));
-- Ids do not compress: trying would cost more than all the rest.
ALTER TABLE batches
    ALTER COLUMN entry_accounts SET STORAGE EXTERNAL,
    ALTER COLUMN entry_numbers  SET STORAGE EXTERNAL,
    ALTER COLUMN entry_kinds    SET STORAGE EXTERNAL,
    ALTER COLUMN entry_deltas   SET STORAGE EXTERNAL,
    ALTER COLUMN entry_subjects SET STORAGE EXTERNAL,
    ALTER COLUMN entry_previous SET STORAGE EXTERNAL;
-- Nobody searches by what is in a list: to sample them would only keep a processor busy.
ALTER TABLE batches
    ALTER COLUMN entry_accounts SET STATISTICS 0,
    ALTER COLUMN entry_numbers  SET STATISTICS 0,
    ALTER COLUMN entry_kinds    SET STATISTICS 0,
    ALTER COLUMN entry_deltas   SET STATISTICS 0,
    ALTER COLUMN entry_subjects SET STATISTICS 0,
    ALTER COLUMN entry_previous SET STATISTICS 0;
ALTER TABLE conversions
    ALTER COLUMN bonuses  SET STATISTICS 0,
    ALTER COLUMN lots_out SET STATISTICS 0,
    ALTER COLUMN lots_in  SET STATISTICS 0;
COMMENT ON TABLE batches IS 'One row per committed batch of a lane: its lines of the journal, and how many events the sealer is to number.';
COMMENT ON COLUMN batches.entry_accounts IS 'Element i of every entry_… array is one line of the journal; read them through the view entries.';
COMMENT ON COLUMN batches.entry_previous IS 'The batch with the same account''s entries before these; 0 when these are its first.';

WITH visits AS (
    SELECT account_id, batch_no, lag(batch_no, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY min(entry_no)) AS previous
    FROM entries GROUP BY account_id, batch_no), gathered AS (
    SELECT e.batch_no, max(e.day) AS day, array_agg(e.account_id ORDER BY e.account_id, e.entry_no) AS accounts,
        array_agg(e.entry_no ORDER BY e.account_id, e.entry_no) AS numbers,
        array_agg(e.kind ORDER BY e.account_id, e.entry_no) AS kinds,
        array_agg(e.delta ORDER BY e.account_id, e.entry_no) AS deltas,
        array_agg(e.subject ORDER BY e.account_id, e.entry_no) AS subjects,
        array_agg(v.previous ORDER BY e.account_id, e.entry_no) AS previous
    FROM entries e JOIN visits v USING (account_id, batch_no) GROUP BY e.batch_no)
UPDATE batches b SET day = g.day, entry_accounts = g.accounts, entry_numbers = g.numbers, entry_kinds = g.kinds,
    entry_deltas = g.deltas, entry_subjects = g.subjects, entry_previous = g.previous
FROM gathered g WHERE g.batch_no = b.batch_no;

-- What rarely changes comes first and what every posting changes last, so that the log of an update holds only that.
ALTER TABLE accounts RENAME TO accounts_before;
ALTER INDEX accounts_by_next_expiry RENAME TO accounts_before_by_next_expiry;
ALTER INDEX accounts_pkey RENAME TO accounts_before_pkey;
CREATE TABLE accounts (
    account_id  uuid     PRIMARY KEY,
    partner     text     NOT NULL,
    status      smallint NOT NULL CONSTRAINT accounts_status_known CHECK (status IN (0, 1, 2)),
    tier        text     NOT NULL,
    -- JSON; text, because it is read and written whole with every decision and queried by the audit alone.
    links       text     NOT NULL,
    -- Triples entry number, day, new end (as in lots) of every re-dating of all lots.
    redatings   bigint[] NOT NULL CONSTRAINT accounts_redatings_triples CHECK (cardinality(redatings) % 3 = 0),
    as_of       timestamptz,
    -- Last day of the first lot; NULL when it never ends or there is none.
    next_expiry date,
    balance     bigint   NOT NULL CONSTRAINT accounts_balance_range CHECK (balance BETWEEN 0 AND 9007199254740991),
    held        bigint   NOT NULL CONSTRAINT accounts_held_range CHECK (held BETWEEN 0 AND balance),
    owed        bigint   NOT NULL CONSTRAINT accounts_owed_range CHECK (owed BETWEEN 0 AND 9007199254740991),
    version     bigint   NOT NULL CONSTRAINT accounts_version_positive CHECK (version > 0),
    entry_no    bigint   NOT NULL CONSTRAINT accounts_entry_no_range CHECK (entry_no >= 0),
    last_batch  bigint   NOT NULL CONSTRAINT accounts_last_batch_range CHECK (last_batch >= 0),
    -- Triples points, last day, first day usable; days since 1970-01-01, 2147483647 for never, -2147483648 for at once.
    lots        bigint[] NOT NULL CONSTRAINT accounts_lots_triples CHECK (cardinality(lots) % 3 = 0),
    -- Business day, out today, in today, out this month, in this month.
    usage       bigint[] NOT NULL CONSTRAINT accounts_usage_five CHECK (cardinality(usage) = 5)
) WITH (fillfactor = 70);
ALTER TABLE accounts
    ALTER COLUMN links     SET STATISTICS 0,
    ALTER COLUMN redatings SET STATISTICS 0,
    ALTER COLUMN lots      SET STATISTICS 0,
    ALTER COLUMN usage     SET STATISTICS 0;
INSERT INTO accounts SELECT a.account_id, a.partner, a.status, a.tier, a.links,
    coalesce(r.redatings, '{}'),
    a.as_of, a.next_expiry, a.balance, a.held, a.owed, a.version, a.entry_no, coalesce(l.batch_no, 0), a.lots, a.usage
    FROM accounts_before a
    -- Only the newest end was kept. Re-datings alternate: promoted to never, demoted to the month end 12 months on.
    LEFT JOIN (SELECT d.account_id, array_agg(t.number ORDER BY d.entry_no, t.place) AS redatings
        FROM (SELECT e.account_id, e.entry_no, e.day, (b.redated_to = 2147483647) = (row_number() OVER
                (PARTITION BY e.account_id ORDER BY e.entry_no DESC) % 2 = 1) AS never
            FROM entries e JOIN accounts_before b USING (account_id) WHERE e.kind = 13) d,
        LATERAL unnest(ARRAY[d.entry_no, d.day - '1970-01-01'::date, CASE WHEN d.never THEN 2147483647
            ELSE (date_trunc('month', d.day::timestamp) + interval '13 months')::date - 1 - '1970-01-01'::date END])
            WITH ORDINALITY t(number, place) GROUP BY 1) r ON r.account_id = a.account_id
    LEFT JOIN entries l ON l.account_id = a.account_id AND l.entry_no = a.entry_no;
DROP TABLE accounts_before, entries;
-- A column of its own rather than an expression over lots: most postings leave it as it is, and then no index is touched.
CREATE INDEX accounts_by_next_expiry ON accounts (next_expiry) WHERE next_expiry IS NOT NULL;
COMMENT ON TABLE accounts IS 'A membership''s points account: all that a decision about it needs, in one row with one version per write.';
COMMENT ON COLUMN accounts.status IS '0 active, 1 frozen, 2 closed';
COMMENT ON COLUMN accounts.tier IS 'Earned tier; granted and trial tiers live in memberships alone.';
COMMENT ON COLUMN accounts.last_batch IS 'The batch with this account''s newest entries; theirs name the one before. 0 when it has none.';

CREATE VIEW entries AS
    SELECT e.account_id, e.entry_no, b.batch_no, e.kind, e.delta, 0::smallint AS contra, e.subject, b.day, e.previous
    FROM batches b, unnest(b.entry_accounts, b.entry_numbers, b.entry_kinds, b.entry_deltas, b.entry_subjects, b.entry_previous)
        AS e(account_id, entry_no, kind, delta, subject, previous);
COMMENT ON VIEW entries IS 'The journal: one line of a posting on one membership account, with its contra account; never updated, never deleted.';
COMMENT ON COLUMN entries.contra IS '0 the programme''s issuance account, 1 the account''s own holds';
