DROP TABLE deliveries;
DROP TABLE webhook_secrets;
DROP TABLE webhooks;
DELETE FROM alliance_keys WHERE purpose = 'webhook';
ALTER TABLE alliance_keys DROP CONSTRAINT alliance_keys_purpose_known;
ALTER TABLE alliance_keys ADD CONSTRAINT alliance_keys_purpose_known
    CHECK (purpose IN ('quote', 'statement', 'statement_p256', 'checkpoint'));
