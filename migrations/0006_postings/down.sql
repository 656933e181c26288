CREATE INDEX conversions_by_posting ON conversions (batch_no, ordinal);
