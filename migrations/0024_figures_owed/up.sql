-- What a use costs is a figure where somebody owes it: of a brand's own benefit for its own members nobody does. Servers of the
-- version before may run while this is applied; what they count of such uses until they end, `hanse audit` finds.

-- Whoever counts (store::locks::COUNTING) does so before this or after it.
SELECT pg_advisory_xact_lock(5206528763763884065);

UPDATE figure_benefits f SET cost = w.cost FROM (
    SELECT u.day, v.benefit_id, v.brand, capped(coalesce(sum(u.cost) FILTER (WHERE t.body->>'funder' = 'operator'
        OR (t.body->>'funder' = 'brand' AND t.body->>'brand' <> t.body->>'giver')), 0)) AS cost
    FROM voucher_uses u JOIN batches b ON b.batch_no = u.batch_no AND b.counted JOIN vouchers v USING (voucher_id)
        JOIN benefit_terms t ON t.terms_id = u.terms_id
    WHERE v.brand = v.giver GROUP BY 1, 2, 3) w
WHERE (f.day, f.benefit_id, f.brand) = (w.day, w.benefit_id, w.brand) AND f.cost <> w.cost;
COMMENT ON TABLE figure_benefits IS 'Uses of vouchers by day, benefit and the brand whose member it was; cost is what somebody owes the giver for them, in millionths.';
