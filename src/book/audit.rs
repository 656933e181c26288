//! The invariants as queries: each finds what must not exist. `hanse audit` runs them all in one snapshot.

use super::store::Error;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

/// One invariant and the rows that break it.
pub struct Invariant {
    pub name: &'static str,
    /// What must hold, in words.
    pub says: &'static str,
    /// Selects one text column `id` for every row that breaks it.
    sql: &'static str,
}

/// How one invariant fared.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: &'static str,
    pub says: &'static str,
    pub violations: i64,
    /// Up to five of them.
    pub sample: Vec<String>,
}

/// In reading order: accounts, postings, conversions, exposures, keys, events, persons, figures, staff.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "balance = entries",
        says: "every balance is the sum of its entries, and entries are numbered without a gap",
        sql: "SELECT a.account_id::text AS id FROM accounts a LEFT JOIN \
              (SELECT account_id, sum(delta) AS total, count(*) AS n, count(DISTINCT entry_no) AS d, max(entry_no) AS last \
              FROM entries GROUP BY 1) e USING (account_id) WHERE a.entry_no <> coalesce(e.d, 0) OR a.balance <> coalesce(e.total, 0) OR a.entry_no <> coalesce(e.n, 0) OR a.entry_no <> coalesce(e.last, 0)",
    },
    Invariant {
        name: "journal hangs together",
        says: "every account names the batch of its newest entries, and these the batch of those before",
        sql: "WITH visits AS (SELECT account_id, batch_no, min(previous) AS previous, max(entry_no) AS last, \
              lag(batch_no, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY min(entry_no)) AS expected FROM entries GROUP BY 1, 2) \
              SELECT account_id::text || ':' || batch_no AS id FROM visits WHERE previous <> expected UNION ALL \
              SELECT a.account_id::text FROM accounts a LEFT JOIN visits v ON v.account_id = a.account_id AND v.last = a.entry_no \
              WHERE a.last_batch <> coalesce(v.batch_no, 0)",
    },
    Invariant {
        name: "balance = lots + held",
        says: "every balance is the sum of its lots and its holds",
        sql: "SELECT a.account_id::text AS id FROM accounts a LEFT JOIN LATERAL \
              (SELECT sum(a.lots[i]) AS total FROM generate_series(1, cardinality(a.lots), 3) i) l ON true \
              WHERE a.balance <> coalesce(l.total, 0) + a.held",
    },
    Invariant {
        name: "lots in order",
        says: "lots hold at least one point each and stand earliest end first",
        sql: "SELECT a.account_id::text AS id FROM accounts a, generate_series(1, cardinality(a.lots), 3) i \
              WHERE a.lots[i] <= 0 OR (i > 1 AND a.lots[i + 1] < a.lots[i - 2])",
    },
    Invariant {
        name: "owed points",
        says: "owed points are what reversals could not take less what credits have met since",
        sql: "SELECT a.account_id::text AS id FROM accounts a JOIN memberships m USING (account_id) LEFT JOIN \
              (SELECT account_id, sum(owed) AS total FROM movements WHERE side = 0 AND reverses IS NOT NULL GROUP BY 1) o USING (account_id) \
              LEFT JOIN (SELECT account_id, sum(delta) AS total FROM entries WHERE kind = 15 GROUP BY 1) e USING (account_id) \
              WHERE m.erased_at IS NULL AND a.owed <> coalesce(o.total, 0) + coalesce(e.total, 0)",
    },
    Invariant {
        name: "entries have accounts",
        says: "every entry is on an account that exists",
        sql: "SELECT e.account_id::text AS id FROM entries e WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.account_id = e.account_id)",
    },
    Invariant {
        name: "legs = conversion",
        says: "a conversion's entries are its debit at the origin and its credit with bonuses at the target, or nothing where a brand keeps its own ledger",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c JOIN partners f ON f.slug = c.from_partner JOIN partners t ON t.slug = c.to_partner \
              LEFT JOIN (SELECT subject, sum(delta) FILTER (WHERE kind IN (7, 16)) AS gone, \
              sum(delta) FILTER (WHERE kind IN (8, 9, 17)) AS arrived FROM entries WHERE kind IN (7, 8, 9, 16, 17) GROUP BY 1) e ON e.subject = c.conversion_id \
              WHERE e.gone IS DISTINCT FROM CASE WHEN f.hosted THEN -c.debit ELSE 0 END \
              OR e.arrived IS DISTINCT FROM CASE WHEN t.hosted THEN c.credit + (SELECT coalesce(sum(b), 0) FROM unnest(c.bonuses) b) ELSE 0 END \
              OR (f.hosted AND t.hosted) = (c.accepted_batch IS NOT NULL)",
    },
    Invariant {
        name: "exact multiples",
        says: "every debit is a multiple of the step and the credit is exactly the rate's",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c JOIN terms t USING (terms_id) \
              WHERE c.debit % (t.body->>'step')::bigint <> 0 \
              OR c.debit::numeric * (t.body->>'num')::bigint <> c.credit::numeric * (t.body->>'den')::bigint",
    },
    Invariant {
        name: "lots = legs",
        says: "a conversion's lots out sum to its debit and its lots in to its credit with bonuses",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c \
              WHERE c.debit <> (SELECT sum(c.lots_out[i]) FROM generate_series(1, cardinality(c.lots_out), 2) i) \
              OR c.credit + (SELECT coalesce(sum(b), 0) FROM unnest(c.bonuses) b) <> \
              (SELECT sum(c.lots_in[i]) FROM generate_series(1, cardinality(c.lots_in), 2) i)",
    },
    Invariant {
        name: "one window",
        says: "every conversion and reversal is in the window of the batch that posted it",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c LEFT JOIN batches b USING (batch_no) WHERE b.window_id IS DISTINCT FROM c.window_id \
              UNION ALL SELECT r.reversal_id::text FROM reversals r LEFT JOIN batches b USING (batch_no) WHERE b.window_id IS DISTINCT FROM r.window_id",
    },
    Invariant {
        name: "taken back",
        says: "what a conversion counts as taken back is the sum of its undos and reversals, never above the original",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c LEFT JOIN (SELECT conversion_id, sum(credit) AS credit, sum(bonus) AS bonus, \
              sum(debit) AS debit, sum(fee) AS fee, bool_or(undo) AS undo FROM reversals WHERE state = 1 GROUP BY 1) r USING (conversion_id) \
              WHERE (c.reversed_credit, c.reversed_bonus, c.reversed_debit, c.reversed_fee, c.undone) IS DISTINCT FROM \
              (coalesce(r.credit, 0), coalesce(r.bonus, 0), coalesce(r.debit, 0), coalesce(r.fee, 0), coalesce(r.undo, false))",
    },
    Invariant {
        name: "movements reversed",
        says: "what a credit or debit counts as reversed is the sum of its reversals",
        sql: "SELECT m.movement_id::text AS id FROM movements m LEFT JOIN (SELECT reverses, sum(points) AS points FROM movements \
              WHERE reverses IS NOT NULL GROUP BY 1) r ON r.reverses = m.movement_id WHERE m.reversed <> coalesce(r.points, 0)",
    },
    Invariant {
        name: "exposures = lines",
        says: "every exposure is the sum of its unsettled lines: base, bonuses by funder, fees, adjustments, benefits used, less what was taken back or has been settled",
        sql: "WITH parts AS (SELECT conversion_id, terms_id, credit, bonuses, fee FROM conversions UNION ALL \
              SELECT c.conversion_id, c.terms_id, -r.credit, ARRAY(SELECT -b FROM unnest(r.bonuses) WITH ORDINALITY b(b, i) ORDER BY i), -r.fee \
              FROM reversals r JOIN conversions c USING (conversion_id) WHERE r.state = 1), \
              lines AS (SELECT t.body->>'from' AS f, t.body->>'to' AS t, (t.body->>'settlement_price')::numeric AS price, p.credit, p.fee, \
              t.body->>'fee_payer' AS payer, \
              (SELECT coalesce(sum(b.points), 0) FROM unnest(p.bonuses) WITH ORDINALITY b(points, i) WHERE t.body->'campaigns'->(b.i - 1)::int->>'funder' = 'from') AS by_from, \
              (SELECT coalesce(sum(b.points), 0) FROM unnest(p.bonuses) WITH ORDINALITY b(points, i) WHERE t.body->'campaigns'->(b.i - 1)::int->>'funder' = 'operator') AS by_operator \
              FROM parts p JOIN terms t USING (terms_id)), \
              moves AS (SELECT 'pair:' || f || ':' || t AS key, price * (credit + by_from) AS amount FROM lines UNION ALL \
              SELECT 'partner:' || f, price * (credit + by_from) + CASE payer WHEN 'from' THEN fee ELSE 0 END FROM lines UNION ALL \
              SELECT 'partner:' || t, -price * (credit + by_from + by_operator) + CASE payer WHEN 'to' THEN fee ELSE 0 END FROM lines), \
              decided AS (SELECT 'pair:' || from_party || ':' || to_party AS key, amount FROM adjustments \
              WHERE 'operator' NOT IN (from_party, to_party) UNION ALL \
              SELECT 'partner:' || from_party, amount FROM adjustments WHERE from_party <> 'operator' UNION ALL \
              SELECT 'partner:' || to_party, -amount FROM adjustments WHERE to_party <> 'operator'), \
              uses AS (SELECT u.cost, t.body->>'giver' AS g, t.body->>'brand' AS b, t.body->>'funder' AS f FROM voucher_uses u JOIN benefit_terms t USING (terms_id)), \
              used AS (SELECT 'pair:' || b || ':' || g AS key, cost AS amount FROM uses WHERE f = 'brand' AND b <> g UNION ALL \
              SELECT 'partner:' || b, cost FROM uses WHERE f = 'brand' AND b <> g UNION ALL \
              SELECT 'partner:' || g, -cost FROM uses WHERE f = 'operator' OR (f = 'brand' AND b <> g)), \
              sums AS (SELECT key, sum(amount) AS amount FROM (SELECT * FROM moves UNION ALL \
              SELECT * FROM decided UNION ALL SELECT * FROM used UNION ALL SELECT key, delta FROM releases) m GROUP BY 1) \
              SELECT coalesce(e.key, s.key) AS id FROM exposures e FULL JOIN sums s USING (key) WHERE coalesce(e.value, 0) <> coalesce(s.amount, 0)",
    },
    Invariant {
        name: "reserved = crossings",
        says: "what exposures reserve is what the conversions that are on their way, and the vouchers that are open, may add",
        sql: "WITH lines AS (SELECT t.body->>'from' AS f, t.body->>'to' AS t, (t.body->>'settlement_price')::numeric AS price, c.credit, c.fee, \
              t.body->>'fee_payer' AS payer, \
              (SELECT coalesce(sum(b.points), 0) FROM unnest(c.bonuses) WITH ORDINALITY b(points, i) WHERE t.body->'campaigns'->(b.i - 1)::int->>'funder' = 'from') AS by_from, \
              (SELECT coalesce(sum(b.points), 0) FROM unnest(c.bonuses) WITH ORDINALITY b(points, i) WHERE t.body->'campaigns'->(b.i - 1)::int->>'funder' = 'operator') AS by_operator \
              FROM crossings c JOIN terms t USING (terms_id) WHERE c.kind = 0 AND c.state IN (0, 1, 4)), \
              moves AS (SELECT 'pair:' || f || ':' || t AS key, price * (credit + by_from) AS amount FROM lines UNION ALL \
              SELECT 'partner:' || f, price * (credit + by_from) + CASE payer WHEN 'from' THEN fee ELSE 0 END FROM lines UNION ALL \
              SELECT 'partner:' || t, -price * (credit + by_from + by_operator) + CASE payer WHEN 'to' THEN fee ELSE 0 END FROM lines), \
              open AS (SELECT (t.body->>'cost')::bigint - v.settled AS cost, v.brand AS b, v.giver AS g FROM vouchers v JOIN benefit_terms t USING (terms_id) \
              WHERE v.state IN (0, 1, 2) AND t.body->>'funder' = 'brand' AND v.brand <> v.giver), \
              sums AS (SELECT key, sum(greatest(amount, 0)) AS amount FROM (SELECT * FROM moves UNION ALL \
              SELECT 'pair:' || b || ':' || g, cost FROM open UNION ALL SELECT 'partner:' || b, cost FROM open) m GROUP BY 1) \
              SELECT coalesce(e.key, s.key) AS id FROM exposures e FULL JOIN sums s USING (key) WHERE coalesce(e.reserved, 0) <> coalesce(s.amount, 0)",
    },
    Invariant {
        name: "held = crossings",
        says: "what an account holds is what the crossings hold that have it as their source and are not over",
        sql: "SELECT a.account_id::text AS id FROM accounts a LEFT JOIN (SELECT c.source, sum(c.lots_held[i]) AS held FROM \
              (SELECT CASE kind WHEN 0 THEN from_account ELSE to_account END AS source, lots_held FROM crossings WHERE state IN (1, 4)) c, \
              generate_series(1, cardinality(c.lots_held), 2) i GROUP BY 1) h ON h.source = a.account_id JOIN partners p ON p.slug = a.partner \
              WHERE a.held <> CASE WHEN p.hosted THEN coalesce(h.held, 0) ELSE 0 END",
    },
    Invariant {
        name: "crossings end once",
        says: "a crossing is posted when its credit is recorded and never otherwise, and what brands keep themselves has no balance here",
        sql: "SELECT x.crossing_id::text AS id FROM crossings x LEFT JOIN conversions c ON c.conversion_id = x.crossing_id WHERE x.kind = 0 \
              AND ((x.state IN (2, 3)) <> (c.conversion_id IS NOT NULL) OR (c.conversion_id IS NOT NULL AND \
              (c.from_account, c.to_account, c.debit, c.credit, c.bonuses, c.fee, c.accepted_batch, c.accepted_ordinal, c.accepted_day) IS DISTINCT FROM \
              (x.from_account, x.to_account, x.debit, x.credit, x.bonuses, x.fee, x.batch_no, x.ordinal, x.day))) UNION ALL \
              SELECT x.crossing_id::text FROM crossings x LEFT JOIN reversals r ON r.reversal_id = x.crossing_id WHERE x.kind <> 0 \
              AND (r.state, r.conversion_id, r.credit) IS DISTINCT FROM \
              (CASE WHEN x.state IN (2, 3) THEN 1 WHEN x.state = 6 THEN 3 ELSE 2 END::smallint, x.conversion_id, x.credit) UNION ALL \
              SELECT c.conversion_id::text FROM conversions c WHERE c.accepted_batch IS NOT NULL \
              AND NOT EXISTS (SELECT FROM crossings x WHERE x.crossing_id = c.conversion_id) UNION ALL \
              SELECT a.account_id::text FROM accounts a JOIN partners p ON p.slug = a.partner WHERE NOT p.hosted AND (a.balance <> 0 OR a.owed <> 0)",
    },
    Invariant {
        name: "parts taken back",
        says: "what was taken back of each bonus is its share by the credit taken back so far, rounded up in all",
        sql: "SELECT r.reversal_id::text AS id FROM (SELECT *, sum(credit) OVER (PARTITION BY conversion_id) AS total, \
              count(*) OVER (PARTITION BY conversion_id) AS n FROM reversals WHERE state = 1) r JOIN conversions c USING (conversion_id) \
              WHERE r.bonus <> (SELECT coalesce(sum(b), 0) FROM unnest(r.bonuses) b) OR cardinality(r.bonuses) <> cardinality(c.bonuses) \
              OR (r.n = 1 AND EXISTS (SELECT FROM unnest(c.bonuses, r.bonuses) x(whole, part) WHERE x.part <> ceil(x.whole::numeric * r.total / c.credit))) UNION ALL \
              SELECT c.conversion_id || ':' || p.nth FROM (SELECT r.conversion_id, b.nth, sum(b.part) AS part FROM reversals r, \
              unnest(r.bonuses) WITH ORDINALITY b(part, nth) WHERE r.state = 1 GROUP BY 1, 2) p JOIN conversions c USING (conversion_id) \
              JOIN (SELECT conversion_id, sum(credit) AS total FROM reversals WHERE state = 1 GROUP BY 1) t USING (conversion_id) \
              WHERE p.part <> ceil(c.bonuses[p.nth]::numeric * t.total / c.credit)",
    },
    Invariant {
        name: "windows in line",
        says: "windows follow each other without a gap, and each has exactly the batches of its run of numbers",
        sql: "SELECT 'window ' || number AS id FROM (SELECT number, first_batch, last_batch, closed_at, opened_at, lag(closed_at) OVER w AS ended, \
              lag(number, 1, 0::bigint) OVER w AS former, lag(last_batch, 1, 0::bigint) OVER w AS before FROM windows WINDOW w AS (ORDER BY number)) w \
              WHERE number <> former + 1 OR first_batch <> before + 1 OR last_batch < before OR opened_at <> ended UNION ALL \
              SELECT 'batch ' || b.batch_no FROM batches b LEFT JOIN windows w USING (window_id) WHERE (CASE w.state WHEN 'open' \
              THEN b.batch_no > (SELECT coalesce(max(last_batch), 0) FROM windows) ELSE b.batch_no BETWEEN w.first_batch AND w.last_batch END) IS NOT TRUE",
    },
    Invariant {
        name: "dense lines",
        says: "each participant's lines are numbered without a gap over all windows, and its statements name all of them",
        sql: "SELECT participant || ':' || first_line AS id FROM (SELECT participant, first_line, \
              coalesce(lag(first_line + lines) OVER (PARTITION BY participant ORDER BY first_line), 1) AS expected FROM line_chunks) c \
              WHERE first_line <> expected UNION ALL \
              SELECT s.participant || ':' || s.number FROM statements s LEFT JOIN (SELECT window_id, participant, min(first_line) AS first, \
              sum(lines) AS lines FROM line_chunks GROUP BY 1, 2) c USING (window_id, participant) \
              WHERE s.lines <> coalesce(c.lines, 0) OR s.first_line <> coalesce(c.first, s.first_line) UNION ALL \
              SELECT participant || ':' || number FROM (SELECT participant, number, first_line, \
              lag(first_line + lines, 1, 1::bigint) OVER (PARTITION BY participant ORDER BY number) AS expected FROM statements) s \
              WHERE first_line <> expected UNION ALL \
              SELECT c.participant || ':' || c.first_line FROM line_chunks c JOIN windows w USING (window_id) \
              LEFT JOIN statements s ON s.window_id = c.window_id AND s.participant = c.participant WHERE w.state IN ('signed', 'published') \
              AND (c.first_line >= s.first_line AND c.first_line + c.lines <= s.first_line + s.lines) IS NOT TRUE",
    },
    Invariant {
        name: "nets are nothing together",
        says: "what one is owed the other owes, and all nets of a window sum to zero",
        sql: "SELECT n.window_id || ':' || n.participant || ':' || n.counterparty AS id FROM nets n \
              LEFT JOIN nets o ON o.window_id = n.window_id AND o.participant = n.counterparty AND o.counterparty = n.participant \
              WHERE (o.exact, o.rounded) IS DISTINCT FROM (-n.exact, -n.rounded)",
    },
    Invariant {
        name: "statements chain",
        says: "every signed window has a statement of everybody in it, each opens with what the one before closed with, and is a leaf of the log",
        sql: "SELECT s.participant || ':' || s.number AS id FROM (SELECT *, lag(closing) OVER w AS before, lag(encode(leaf, 'hex')) OVER w AS previous, \
              lag(number) OVER w AS last FROM statements WINDOW w AS (PARTITION BY participant ORDER BY number)) s LEFT JOIN log_leaves l USING (leaf_index) \
              WHERE (s.payload::jsonb->>'opening')::numeric * 1000000 <> coalesce(s.before, 0) \
              OR (s.payload::jsonb->>'closing')::numeric * 1000000 <> s.closing \
              OR s.payload::jsonb->>'participant' <> s.participant OR (s.payload::jsonb->'window'->>'number')::bigint <> s.number \
              OR s.payload::jsonb->'previous'->>'leaf' IS DISTINCT FROM s.previous OR s.last <> s.number - 1 \
              OR l.leaf IS DISTINCT FROM s.leaf OR s.leaf <> sha256('\\x00'::bytea || convert_to(s.payload, 'UTF8')) UNION ALL \
              SELECT w.number || ':' || p.slug FROM windows w, LATERAL jsonb_object_keys(w.settings::jsonb->'participants') p(slug) \
              WHERE w.state IN ('signed', 'published') AND NOT EXISTS (SELECT FROM statements s WHERE s.window_id = w.window_id AND s.participant = p.slug)",
    },
    Invariant {
        name: "statements answered",
        says: "a statement is disputed while a dispute of its participant's waits for its end, and acknowledged by a signature only",
        sql: "SELECT s.participant || ':' || s.number AS id FROM statements s WHERE (s.state = 'disputed') <> EXISTS (SELECT FROM disputes d \
              WHERE d.window_id = s.window_id AND d.opener = s.participant AND d.state IN ('open', 'answered')) \
              OR (s.state = 'acknowledged' AND NOT EXISTS (SELECT FROM statement_signatures g \
              WHERE g.statement_id = s.statement_id AND g.signer = s.participant))",
    },
    Invariant {
        name: "dense log",
        says: "the log has no gap, every checkpoint is over leaves that are there, and the newest over all of them",
        sql: "SELECT leaf_index::text AS id FROM (SELECT leaf_index, row_number() OVER (ORDER BY leaf_index) - 1 AS expected FROM log_leaves) l \
              WHERE leaf_index <> expected UNION ALL \
              SELECT 'size ' || size FROM checkpoints WHERE size > (SELECT count(*) FROM log_leaves) OR split_part(note, chr(10), 2) <> size::text UNION ALL \
              SELECT 'leaves ' || n FROM (SELECT count(*) AS n FROM log_leaves) l WHERE n > 0 AND n <> (SELECT coalesce(max(size), 0) FROM checkpoints)",
    },
    Invariant {
        name: "obligations = nets",
        says: "what is owed for a signed window is just its nets: each participant's one, or in a bilateral alliance each pair's",
        sql: "WITH due AS (SELECT n.*, w.settings::jsonb->>'netting' AS netting FROM nets n JOIN windows w USING (window_id) \
              WHERE w.state IN ('signed', 'published')), \
              wanted AS (SELECT window_id, participant AS debtor, counterparty AS creditor, -rounded AS amount FROM due \
              WHERE netting = 'bilateral' AND rounded < 0 UNION ALL \
              SELECT window_id, CASE WHEN sum(rounded) < 0 THEN participant ELSE 'alliance' END, \
              CASE WHEN sum(rounded) < 0 THEN 'alliance' ELSE participant END, abs(sum(rounded)) FROM due \
              WHERE netting = 'multilateral' GROUP BY window_id, participant HAVING sum(rounded) <> 0) \
              SELECT coalesce(o.window_id, x.window_id) || ':' || coalesce(o.debtor, x.debtor) || ':' || coalesce(o.creditor, x.creditor) AS id \
              FROM wanted x FULL JOIN obligations o ON o.window_id = x.window_id AND o.debtor = x.debtor AND o.creditor = x.creditor \
              WHERE o.amount IS DISTINCT FROM x.amount",
    },
    Invariant {
        name: "obligations paid",
        says: "what was paid of an obligation is the sum of its payments, and whoever owes nothing more has no line in the exposures",
        sql: "SELECT o.obligation_id::text AS id FROM obligations o LEFT JOIN (SELECT obligation_id, sum(amount) AS paid FROM payments GROUP BY 1) p \
              USING (obligation_id) WHERE o.paid <> coalesce(p.paid, 0) UNION ALL \
              SELECT n.window_id || ':' || n.participant || ':' || n.counterparty FROM nets n JOIN windows w USING (window_id) \
              WHERE w.state IN ('signed', 'published') AND (n.released IS NULL) <> EXISTS (SELECT FROM obligations o \
              WHERE o.window_id = n.window_id AND o.debtor = n.participant AND o.creditor IN ('alliance', n.counterparty) AND o.paid < o.amount)",
    },
    Invariant {
        name: "disputes decided",
        says: "every upheld dispute has given its opener just its award by one adjustment of two operators, and no other adjustment names a dispute",
        sql: "SELECT d.dispute_id::text AS id FROM disputes d LEFT JOIN dispute_decisions p ON p.dispute_id = d.dispute_id AND p.settled = 'decided' \
              LEFT JOIN adjustments a ON a.dispute_id = d.dispute_id \
              WHERE (d.state = 'decided') <> (p.dispute_id IS NOT NULL) OR p.adjustment_id IS DISTINCT FROM a.adjustment_id \
              OR (a.adjustment_id IS NOT NULL AND (CASE d.opener WHEN a.to_party THEN a.amount WHEN a.from_party THEN -a.amount END IS DISTINCT FROM p.award \
              OR (d.counterparty IN (a.from_party, a.to_party)) IS NOT TRUE OR (a.asked_by, a.approved_by) IS DISTINCT FROM (p.proposed_by, p.settled_by))) UNION ALL \
              SELECT adjustment_id::text FROM adjustments a WHERE dispute_id IS NOT NULL \
              AND NOT EXISTS (SELECT FROM disputes d WHERE d.dispute_id = a.dispute_id)",
    },
    Invariant {
        name: "member limits",
        says: "the usage of every account's day is the sum of its conversions and claims of that day that were neither undone, released nor given back",
        sql: "SELECT a.account_id::text AS id FROM accounts a LEFT JOIN (SELECT from_account, day, sum(debit) AS used FROM \
              (SELECT from_account, coalesce(accepted_day, day) AS day, debit FROM conversions WHERE NOT undone UNION ALL \
              SELECT from_account, day, debit FROM crossings WHERE kind = 0 AND state IN (0, 1, 4) UNION ALL \
              SELECT v.account_id, v.day, (t.body->>'points')::bigint FROM vouchers v JOIN benefit_terms t USING (terms_id) JOIN partners p ON p.slug = v.brand \
              WHERE v.state IN (1, 2, 3) OR (v.state = 4 AND v.reserved_until IS NULL) OR (v.state = 0 AND NOT p.hosted)) c GROUP BY 1, 2) c ON c.from_account = a.account_id AND c.day = '1970-01-01'::date + a.usage[1]::int \
              WHERE a.usage[2] <> coalesce(c.used, 0)",
    },
    Invariant {
        name: "one effect per key",
        says: "every conversion has exactly one key, and every key and reference names an effect that exists",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c LEFT JOIN (SELECT subject, count(*) AS keys FROM directory \
              WHERE kind = 2 AND fingerprint IS NOT NULL GROUP BY 1) d ON d.subject = c.conversion_id WHERE d.keys IS DISTINCT FROM 1 \
              UNION ALL SELECT d.hash::text FROM directory d WHERE d.kind = 2 AND NOT EXISTS (SELECT FROM conversions c WHERE c.conversion_id = d.subject) \
              AND NOT EXISTS (SELECT FROM crossings c WHERE c.crossing_id = d.subject) \
              UNION ALL SELECT d.hash::text FROM directory d WHERE d.kind = 3 AND NOT EXISTS (SELECT FROM movements m WHERE m.movement_id = d.subject) \
              UNION ALL SELECT d.hash::text FROM directory d WHERE d.kind = 4 AND NOT EXISTS (SELECT FROM reversals r WHERE r.reversal_id = d.subject) \
              UNION ALL SELECT d.hash::text FROM directory d WHERE d.kind IN (6, 8) AND NOT EXISTS (SELECT FROM vouchers v WHERE v.voucher_id = d.subject) \
              UNION ALL SELECT d.hash::text FROM directory d WHERE d.kind = 7 AND NOT EXISTS (SELECT FROM voucher_uses u WHERE u.use_id = d.subject)",
    },
    Invariant {
        name: "stock = vouchers",
        says: "what is taken of a benefit is its vouchers that count, and of a pool those that were given a code, each when it was issued",
        sql: "SELECT coalesce(s.benefit_id, v.benefit_id)::text AS id FROM stocks s FULL JOIN (SELECT v.benefit_id, count(*) AS n FROM vouchers v \
              LEFT JOIN benefit_codes c USING (voucher_id) WHERE c.voucher_id IS NOT NULL OR (v.state <> 5 AND NOT (v.state = 4 AND v.reserved_until IS NOT NULL)) \
              GROUP BY 1) v USING (benefit_id) WHERE coalesce(s.taken, 0) <> coalesce(v.n, 0) UNION ALL \
              SELECT v.voucher_id::text FROM vouchers v JOIN benefit_terms t USING (terms_id) LEFT JOIN benefit_codes c USING (voucher_id) \
              WHERE (c.voucher_id IS NOT NULL AND NOT (t.body->>'pooled')::boolean) OR (c.voucher_id IS NULL AND (t.body->>'pooled')::boolean AND v.reserved_until IS NULL) \
              OR (t.body->>'pooled')::boolean <> (v.code_hash IS NULL)",
    },
    Invariant {
        name: "vouchers = uses",
        says: "a voucher has been used as often, and has settled as much, as its uses say that stand, and was paid with its points or none",
        sql: "SELECT v.voucher_id::text AS id FROM vouchers v JOIN benefit_terms t USING (terms_id) LEFT JOIN (SELECT voucher_id, \
              count(*) FILTER (WHERE kind = 1 AND NOT reversed) AS n, sum(cost) AS cost FROM voucher_uses GROUP BY 1) u USING (voucher_id) \
              WHERE v.used <> coalesce(u.n, 0) OR v.settled <> coalesce(u.cost, 0) OR v.settled > (t.body->>'cost')::bigint \
              OR (v.state IN (1, 2, 3)) <> (v.state IN (1, 2, 3) AND (v.state = 1) = (v.used = 0)) \
              OR (cardinality(v.lots_out) > 0 AND (SELECT sum(v.lots_out[i]) FROM generate_series(1, cardinality(v.lots_out), 2) i) <> (t.body->>'points')::bigint)",
    },
    Invariant {
        name: "vouchers are paid",
        says: "the points a voucher was paid with left its account once, and came back once if it was cancelled and not else",
        sql: "SELECT v.voucher_id::text AS id FROM vouchers v LEFT JOIN (SELECT subject, sum(delta) FILTER (WHERE kind = 18) AS gone, \
              sum(delta) FILTER (WHERE kind = 19) AS back FROM entries WHERE kind IN (18, 19) GROUP BY 1) e ON e.subject = v.voucher_id \
              CROSS JOIN LATERAL (SELECT coalesce(sum(v.lots_out[i]), 0) AS points FROM generate_series(1, cardinality(v.lots_out), 2) i) l \
              WHERE coalesce(e.gone, 0) <> -l.points OR coalesce(e.back, 0) <> CASE WHEN v.state = 5 THEN l.points ELSE 0 END",
    },
    Invariant {
        name: "uses are posted",
        says: "every use has its line of the journal, in the window of its batch, and what takes one back is as much as that was",
        sql: "SELECT u.use_id::text AS id FROM voucher_uses u LEFT JOIN batches b USING (batch_no) LEFT JOIN (SELECT subject, batch_no, count(*) AS n \
              FROM entries WHERE kind = 20 GROUP BY 1, 2) e ON e.subject = u.use_id AND e.batch_no = u.batch_no \
              WHERE e.n IS DISTINCT FROM 1 OR b.window_id IS DISTINCT FROM u.window_id UNION ALL \
              SELECT u.use_id::text FROM voucher_uses u LEFT JOIN voucher_uses r ON r.reverses = u.use_id \
              WHERE u.kind IN (0, 1) AND ((u.kind = 1 AND u.reversed <> (r.use_id IS NOT NULL)) OR coalesce(r.cost, -u.cost) <> -u.cost OR r.voucher_id <> u.voucher_id)",
    },
    Invariant {
        name: "dense feed",
        says: "each partner's sequence has no gap and no overlap, and a sealed batch has the events it counts",
        sql: "SELECT partner || ':' || first_sequence AS id FROM (SELECT partner, first_sequence, \
              coalesce(lag(first_sequence + events) OVER (PARTITION BY partner ORDER BY first_sequence), 1) AS expected FROM feed) f \
              WHERE first_sequence <> expected UNION ALL \
              SELECT f.partner || ':' || f.batch_no FROM feed f LEFT JOIN (SELECT partner, batch_no, count(*) AS n, min(ordinal) AS first, max(ordinal) AS last \
              FROM events GROUP BY 1, 2) e USING (partner, batch_no) LEFT JOIN (SELECT partner, batch_no, count(*) AS n FROM \
              (SELECT from_partner AS partner, batch_no FROM conversions WHERE accepted_batch IS NULL UNION ALL \
              SELECT to_partner, batch_no FROM conversions WHERE accepted_batch IS NULL) s GROUP BY 1, 2) c \
              USING (partner, batch_no) WHERE coalesce(c.n, 0) + coalesce(e.n, 0) <> f.events \
              OR e.first <> coalesce(c.n, 0) + 1 OR e.last <> f.events",
    },
    Invariant {
        name: "events are told",
        says: "every conversion's batch counts it for both of its sides, and has one line of the journal for each",
        sql: "SELECT c.conversion_id::text AS id FROM conversions c LEFT JOIN batches b USING (batch_no) \
              WHERE c.accepted_batch IS NULL AND (ARRAY[c.from_partner, c.to_partner] <@ b.partners) IS NOT TRUE UNION ALL \
              SELECT c.conversion_id::text FROM conversions c LEFT JOIN (SELECT batch_no, subject, array_agg(a.partner ORDER BY kind) AS sides \
              FROM entries JOIN accounts a USING (account_id) WHERE kind IN (7, 8, 16, 17) GROUP BY 1, 2) e ON e.batch_no = c.batch_no AND e.subject = c.conversion_id \
              WHERE e.sides IS DISTINCT FROM ARRAY[c.from_partner, c.to_partner]",
    },
    Invariant {
        name: "links on both sides",
        says: "an open link is in both account rows and nowhere else",
        sql: "SELECT l.link_id::text AS id FROM links l LEFT JOIN LATERAL (SELECT count(*) AS n FROM accounts a WHERE a.account_id IN (l.a_account, l.b_account) \
              AND a.links::jsonb @> jsonb_build_array(jsonb_build_object('l', replace(l.link_id::text, '-', '')))) a ON true \
              WHERE a.n <> CASE l.state WHEN 'open' THEN 2 ELSE 0 END",
    },
    Invariant {
        name: "linked is one person",
        says: "memberships with an open link between them are one person's, and a person's hang together by links",
        sql: "SELECT l.link_id::text AS id FROM links l JOIN memberships a ON a.account_id = l.a_account \
              JOIN memberships b ON b.account_id = l.b_account WHERE l.state = 'open' AND a.member_id <> b.member_id \
              UNION ALL SELECT m.member_id::text FROM memberships m LEFT JOIN (SELECT a_account, count(*) AS n FROM links \
              WHERE state = 'open' GROUP BY 1) l ON l.a_account = m.account_id \
              GROUP BY 1 HAVING count(*) - 1 > coalesce(sum(l.n), 0)",
    },
    Invariant {
        name: "one membership per brand",
        says: "no person has two memberships at one partner, and every account is somebody's",
        sql: "SELECT m.member_id::text AS id FROM memberships m GROUP BY m.member_id, m.partner HAVING count(*) > 1 \
              UNION ALL SELECT a.account_id::text FROM accounts a WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.account_id = a.account_id)",
    },
    // What signs are mixed in comes to the same in any order as long as all of it is no more than is kept.
    Invariant {
        name: "figures = journal",
        says: "what is counted by day, brand, pair, wait, member and benefit is the batches that are counted, each once",
        sql: "WITH lines AS MATERIALIZED (SELECT b.batch_no, b.day, a.partner, e.kind, e.delta, e.subject FROM batches b \
              CROSS JOIN LATERAL unnest(b.entry_accounts, b.entry_kinds, b.entry_deltas, b.entry_subjects) e(account_id, kind, delta, subject) \
              JOIN accounts a USING (account_id) WHERE b.counted), \
              gone AS (SELECT c.*, c.credit * (t.body->>'settlement_price')::numeric AS value FROM lines l JOIN conversions c ON c.conversion_id = l.subject \
              JOIN terms t USING (terms_id) WHERE l.kind IN (7, 16)), \
              back AS (SELECT r.*, c.from_partner, c.to_partner, c.from_account, c.day AS posted, r.credit * (t.body->>'settlement_price')::numeric AS value \
              FROM lines l JOIN reversals r ON r.reversal_id = l.subject AND r.batch_no = l.batch_no AND r.state = 1 JOIN conversions c USING (conversion_id) \
              JOIN terms t USING (terms_id) WHERE l.kind = 10), \
              ended AS (SELECT DISTINCT x.crossing_id, x.from_partner, x.to_partner, (b.business_at AT TIME ZONE (SELECT zone FROM alliance))::date AS day \
              FROM events e JOIN batches b USING (batch_no) JOIN crossings x ON x.crossing_id = e.subject WHERE e.kind = 25 AND b.counted AND x.kind = 0) \
              SELECT concat_ws(' ', day, partner, kind) AS id FROM figure_days f FULL JOIN (SELECT day, partner, kind, count(*) AS n, capped(sum(delta)) AS total, \
              sum(abs(delta)) AS most FROM lines GROUP BY 1, 2, 3) j USING (day, partner, kind) WHERE f.entries IS DISTINCT FROM j.n \
              OR (f.points <> j.total AND j.most <= 9223372036854775807) UNION ALL \
              SELECT concat_ws(' ', day, from_partner, to_partner) FROM figure_pairs f FULL JOIN (SELECT day, from_partner, to_partner, sum(n) AS n, \
              capped(sum(debit)) AS debit, capped(sum(credit)) AS credit, capped(sum(value)) AS value, sum(taken) AS taken, \
              capped(sum(credit_back)) AS credit_back, capped(sum(value_back)) AS value_back, sum(released) AS released FROM \
              (SELECT day, from_partner, to_partner, 1 AS n, debit, credit, value, 0 AS taken, 0 AS credit_back, 0 AS value_back, 0 AS released FROM gone \
              UNION ALL SELECT day, from_partner, to_partner, 0, 0, 0, 0, 1, credit, value, 0 FROM back \
              UNION ALL SELECT day, from_partner, to_partner, 0, 0, 0, 0, 0, 0, 0, 1 FROM ended) s GROUP BY 1, 2, 3) j \
              USING (day, from_partner, to_partner) WHERE (f.conversions, f.debit, f.credit, f.value, f.taken_back, f.credit_back, f.value_back, f.released) \
              IS DISTINCT FROM (j.n, j.debit, j.credit, j.value, j.taken, j.credit_back, j.value_back, j.released) UNION ALL \
              SELECT concat_ws(' ', day, from_partner, to_partner, step) FROM figure_waits f FULL JOIN (SELECT g.day, g.from_partner, g.to_partner, \
              least(200, ceil(4 * log(2, greatest(1, 1000 * extract(epoch FROM g.at - x.at)))))::smallint AS step, count(*) AS n FROM gone g \
              JOIN crossings x ON x.crossing_id = g.conversion_id WHERE g.accepted_batch IS NOT NULL GROUP BY 1, 2, 3, 4) j \
              USING (day, from_partner, to_partner, step) WHERE f.conversions IS DISTINCT FROM j.n UNION ALL \
              SELECT concat_ws(' ', month, account_id) FROM figure_members f FULL JOIN (SELECT date_trunc('month', day::timestamp)::date AS month, account_id, sum(n) AS n \
              FROM (SELECT day, from_account AS account_id, 1 AS n FROM gone UNION ALL SELECT posted, from_account, -1 FROM back WHERE undo) s GROUP BY 1, 2) j \
              USING (month, account_id) WHERE f.conversions IS DISTINCT FROM j.n UNION ALL \
              SELECT concat_ws(' ', day, benefit_id, brand) FROM figure_benefits f FULL JOIN (SELECT day, benefit_id, brand, count(*) FILTER (WHERE kind = 1) AS n, \
              count(*) FILTER (WHERE kind = 2) AS taken, capped(sum(owed)) AS cost, sum(abs(owed)) AS most FROM (SELECT u.day, v.benefit_id, v.brand, u.kind, \
              CASE WHEN t.body->>'funder' = 'operator' OR (t.body->>'funder' = 'brand' AND t.body->>'brand' <> t.body->>'giver') THEN u.cost ELSE 0 END AS owed \
              FROM lines l JOIN voucher_uses u ON u.use_id = l.subject JOIN vouchers v USING (voucher_id) JOIN benefit_terms t ON t.terms_id = u.terms_id \
              WHERE l.kind = 20) u GROUP BY 1, 2, 3) j USING (day, benefit_id, brand) \
              WHERE (f.redeemed, f.taken_back) IS DISTINCT FROM (j.n, j.taken) OR (f.cost <> j.cost AND j.most <= 9223372036854775807)",
    },
    Invariant {
        name: "spending = activities",
        says: "what members spent in a month is the sum of their activities that have an amount",
        sql: "SELECT concat_ws(' ', month, account_id, currency) AS id FROM activity_months m FULL JOIN (SELECT \
              date_trunc('month', occurred_at AT TIME ZONE (SELECT zone FROM alliance))::date AS month, account_id, currency, count(*) AS n, capped(sum(amount)) AS total \
              FROM activities WHERE amount IS NOT NULL GROUP BY 1, 2, 3) a USING (month, account_id, currency) \
              WHERE (m.purchases, m.amount) IS DISTINCT FROM (a.n, a.total)",
    },
    Invariant {
        name: "staff log hangs together",
        says: "the log of what staff do is numbered without a gap, and every entry has its own hash and that of the one before",
        sql: "SELECT 'seq ' || l.seq AS id FROM (SELECT *, lag(seq, 1, 0::bigint) OVER w + 1 AS expected, \
              lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS before FROM staff_log WINDOW w AS (ORDER BY seq)) l, \
              LATERAL (SELECT coalesce(string_agg(int8send(octet_length(said)) || convert_to(said, 'UTF8'), ''::bytea ORDER BY key COLLATE \"C\", nth), '') AS bytes \
              FROM jsonb_each_text(l.detail) d(key, value), LATERAL (VALUES (1, key), (2, value)) p(nth, said)) detail, \
              LATERAL (SELECT string_agg(coalesce(int8send(octet_length(said)) || convert_to(said, 'UTF8'), int8send(-1)), ''::bytea ORDER BY nth) AS bytes \
              FROM (VALUES (1, l.partner), (2, l.staff_id::text), (3, l.login), (4, l.action), (5, l.subject)) p(nth, said)) texts \
              WHERE l.seq <> l.expected OR l.prev_hash <> l.before OR l.hash <> sha256(l.prev_hash || int8send(l.seq) || \
              int8send((extract(epoch FROM l.at) * 1000000)::bigint) || texts.bytes || detail.bytes) ORDER BY l.seq",
    },
];

#[derive(QueryableByName)]
struct Broken {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    violations: i64,
}

/// Runs every invariant in one snapshot; `done` is told after each, for a progress bar.
pub fn run(conn: &mut PgConnection, mut done: impl FnMut(&Finding)) -> Result<Vec<Finding>, Error> {
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        sql_query("SET LOCAL statement_timeout = 0").execute(conn)?;
        let mut findings = Vec::with_capacity(INVARIANTS.len());
        for invariant in INVARIANTS {
            let sql = format!(
                "WITH broken AS ({}) SELECT id, count(*) OVER () AS violations FROM broken LIMIT 5",
                invariant.sql
            );
            let broken: Vec<Broken> = sql_query(sql).load(conn)?;
            let finding = Finding {
                name: invariant.name,
                says: invariant.says,
                violations: broken.first().map_or(0, |row| row.violations),
                sample: broken.into_iter().map(|row| row.id).collect(),
            };
            done(&finding);
            findings.push(finding);
        }
        Ok(findings)
    })
}
