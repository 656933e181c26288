-- A sum may come to more than a bigint holds: one brand that says nonsense must not stop the figures of all. Additive:
-- servers of the version before may run while this is applied, and count as they always did.

CREATE FUNCTION capped(total numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(greatest(total, -9223372036854775807), 9223372036854775807)::bigint
$$;
COMMENT ON FUNCTION capped IS 'A sum, or the largest number of its sign that a bigint and its opposite hold.';

-- What has come to the largest number stays there: how much more it was is not known.
CREATE OR REPLACE FUNCTION activity_months_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    zone text := (SELECT a.zone FROM alliance a);
BEGIN
    IF TG_OP = 'INSERT' AND NEW.amount IS NOT NULL THEN
        INSERT INTO activity_months AS m
            VALUES (date_trunc('month', NEW.occurred_at AT TIME ZONE zone)::date, NEW.account_id, NEW.currency, NEW.partner, 1, NEW.amount)
            ON CONFLICT (month, account_id, currency) DO UPDATE SET purchases = m.purchases + 1, amount = capped(m.amount::numeric + excluded.amount);
    ELSIF TG_OP = 'DELETE' AND OLD.amount IS NOT NULL THEN
        UPDATE activity_months m SET purchases = m.purchases - 1,
            amount = CASE WHEN m.amount = 9223372036854775807 THEN m.amount ELSE m.amount - OLD.amount END
            WHERE m.month = date_trunc('month', OLD.occurred_at AT TIME ZONE zone)::date AND m.account_id = OLD.account_id
            AND m.currency = OLD.currency;
        DELETE FROM activity_months m WHERE m.account_id = OLD.account_id AND m.purchases = 0
            AND m.month = date_trunc('month', OLD.occurred_at AT TIME ZONE zone)::date AND m.currency = OLD.currency;
    END IF;
    RETURN NULL;
END $$;
