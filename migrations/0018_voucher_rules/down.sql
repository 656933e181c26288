-- Open reservations of pools are given a code again, the next one of their pool each.

WITH waiting AS (
    SELECT v.voucher_id, v.benefit_id, row_number() OVER (PARTITION BY v.benefit_id ORDER BY v.voucher_id) AS nth
    FROM vouchers v JOIN benefit_terms t USING (terms_id) WHERE v.state = 0 AND (t.body->>'pooled')::boolean
), free AS (
    SELECT code_no, benefit_id, row_number() OVER (PARTITION BY benefit_id ORDER BY code_no) AS nth
    FROM benefit_codes WHERE voucher_id IS NULL
)
UPDATE benefit_codes c SET voucher_id = w.voucher_id
FROM waiting w JOIN free f USING (benefit_id, nth) WHERE c.code_no = f.code_no;
COMMENT ON TABLE benefit_codes IS 'Codes that a giver has uploaded, each given to one voucher and never again.';
