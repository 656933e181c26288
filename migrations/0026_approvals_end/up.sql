-- An approval is of what stands: it ends when its giver puts something else, and when its payer takes it back. What ended is
-- kept beside those that count, and does not count again.
-- Servers of the version before may run while this is applied; what they put ends no approval, until the next that is put here.

CREATE TABLE benefit_approvals_ended (
    benefit_id  uuid        NOT NULL,
    payer       text        NOT NULL,
    digest      bytea       NOT NULL,
    version     bigint      NOT NULL,
    approved_by text        NOT NULL,
    at          timestamptz NOT NULL,
    ended_by    text        NOT NULL,
    ended_at    timestamptz NOT NULL,
    CONSTRAINT benefit_approvals_ended_key PRIMARY KEY (benefit_id, payer, digest, ended_at)
);
COMMENT ON TABLE benefit_approvals_ended IS 'Approvals that are over, with who ended them: the giver by another bargain, or the payer itself. Never changed.';
COMMENT ON TABLE benefit_approvals IS 'Who pays for another''s benefit has said yes to exactly that, and it has not ended; payer is a partner''s slug or operator.';

WITH over AS (
    DELETE FROM benefit_approvals a USING benefits b
    WHERE b.benefit_id = a.benefit_id AND encode(a.digest, 'hex') IS DISTINCT FROM (b.payers ->> a.payer) RETURNING a.*
)
INSERT INTO benefit_approvals_ended (benefit_id, payer, digest, version, approved_by, at, ended_by, ended_at)
SELECT benefit_id, payer, digest, version, approved_by, at, 'migration 0026',
       clock_timestamp() + (SELECT clock_offset_us FROM alliance) * interval '1 microsecond' FROM over;
