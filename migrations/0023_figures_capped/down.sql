CREATE OR REPLACE FUNCTION activity_months_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    zone text := (SELECT a.zone FROM alliance a);
BEGIN
    IF TG_OP = 'INSERT' AND NEW.amount IS NOT NULL THEN
        INSERT INTO activity_months AS m
            VALUES (date_trunc('month', NEW.occurred_at AT TIME ZONE zone)::date, NEW.account_id, NEW.currency, NEW.partner, 1, NEW.amount)
            ON CONFLICT (month, account_id, currency) DO UPDATE SET purchases = m.purchases + 1, amount = m.amount + excluded.amount;
    ELSIF TG_OP = 'DELETE' AND OLD.amount IS NOT NULL THEN
        UPDATE activity_months m SET purchases = m.purchases - 1, amount = m.amount - OLD.amount
            WHERE m.month = date_trunc('month', OLD.occurred_at AT TIME ZONE zone)::date AND m.account_id = OLD.account_id
            AND m.currency = OLD.currency;
        DELETE FROM activity_months m WHERE m.account_id = OLD.account_id AND m.purchases = 0
            AND m.month = date_trunc('month', OLD.occurred_at AT TIME ZONE zone)::date AND m.currency = OLD.currency;
    END IF;
    RETURN NULL;
END $$;
DROP FUNCTION capped;
