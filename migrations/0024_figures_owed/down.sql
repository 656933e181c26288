SELECT pg_advisory_xact_lock(5206528763763884065);
UPDATE figure_benefits f SET cost = w.cost FROM (
    SELECT u.day, v.benefit_id, v.brand, capped(sum(u.cost)) AS cost
    FROM voucher_uses u JOIN batches b ON b.batch_no = u.batch_no AND b.counted JOIN vouchers v USING (voucher_id)
    WHERE v.brand = v.giver GROUP BY 1, 2, 3) w
WHERE (f.day, f.benefit_id, f.brand) = (w.day, w.benefit_id, w.brand) AND f.cost <> w.cost;
COMMENT ON TABLE figure_benefits IS 'Uses of vouchers by day, benefit and the brand whose member it was; cost is what settled, in millionths.';
