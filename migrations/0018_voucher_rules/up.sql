-- Codes of pools are given when a voucher is issued: what open reservations were given, and have shown nobody, goes back to its pool.
-- Servers of the version before would not give it again when they confirm one: upgrade all of them before the first benefit is put.

UPDATE benefit_codes c SET voucher_id = NULL FROM vouchers v WHERE v.voucher_id = c.voucher_id AND v.state = 0;
COMMENT ON TABLE benefit_codes IS 'Codes that a giver has uploaded, each given to one voucher when it is issued, and never again.';
