DROP TABLE payments, obligations, cosignatures, checkpoints, log_leaves, statement_signatures, statements, releases,
    window_exposures, nets, tallies, line_chunks, adjustment_requests, adjustments;
DROP FUNCTION signed_is_final, statement_is_final, signed_lines_are_final;
DELETE FROM alliance_keys WHERE purpose <> 'quote';
ALTER TABLE alliance_keys DROP CONSTRAINT alliance_keys_purpose_known;
ALTER TABLE alliance_keys ADD CONSTRAINT alliance_keys_purpose_known CHECK (purpose IN ('quote'));
ALTER TABLE reversals DROP COLUMN bonuses;
DROP TRIGGER windows_final ON windows;
DROP FUNCTION published_window_is_final;
ALTER TABLE windows DROP CONSTRAINT windows_closed_whole, DROP CONSTRAINT windows_netted_issued, DROP CONSTRAINT windows_blocked_says,
    DROP COLUMN first_batch, DROP COLUMN last_batch, DROP COLUMN first_day, DROP COLUMN last_day, DROP COLUMN statement_by,
    DROP COLUMN disputes_until, DROP COLUMN due_on, DROP COLUMN settings, DROP COLUMN through_batch, DROP COLUMN issued_at,
    DROP COLUMN published_at, DROP COLUMN blocked_by;
