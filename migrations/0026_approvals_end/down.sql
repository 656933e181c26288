-- What has ended is not brought back.

DROP TABLE benefit_approvals_ended;
COMMENT ON TABLE benefit_approvals IS 'Who pays for another''s benefit has said yes to exactly that; payer is a partner''s slug or operator.';
