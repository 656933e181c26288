-- What the alliance comes to, day by day: counted from sealed batches, once each; and members' purchases by month, as
-- brands send them. Additive: servers of the version before may run while this is applied. See docs/decisions/0023.

ALTER TABLE batches ADD COLUMN counted boolean NOT NULL DEFAULT false;
CREATE INDEX batches_uncounted ON batches (batch_no) WHERE sealed AND NOT counted;
COMMENT ON COLUMN batches.counted IS 'Its figures are in the figure_… tables.';

CREATE TABLE figure_days (
    day     date     NOT NULL,
    partner text     NOT NULL,
    kind    smallint NOT NULL,
    entries bigint   NOT NULL CONSTRAINT figure_days_entries_positive CHECK (entries > 0),
    points  bigint   NOT NULL,
    CONSTRAINT figure_days_key PRIMARY KEY (day, partner, kind)
);
COMMENT ON TABLE figure_days IS 'Lines of the journal by business day, brand and kind of entry.';

CREATE TABLE figure_pairs (
    day          date   NOT NULL,
    from_partner text   NOT NULL,
    to_partner   text   NOT NULL,
    conversions  bigint NOT NULL CONSTRAINT figure_pairs_conversions_range CHECK (conversions >= 0),
    debit        bigint NOT NULL,
    credit       bigint NOT NULL,
    value        bigint NOT NULL,
    taken_back   bigint NOT NULL CONSTRAINT figure_pairs_taken_back_range CHECK (taken_back >= 0),
    credit_back  bigint NOT NULL,
    value_back   bigint NOT NULL,
    released     bigint NOT NULL CONSTRAINT figure_pairs_released_range CHECK (released >= 0),
    CONSTRAINT figure_pairs_key PRIMARY KEY (day, from_partner, to_partner)
);
COMMENT ON TABLE figure_pairs IS 'Conversions of a pair by the day they were posted, what was taken back on a day, and what was released.';
COMMENT ON COLUMN figure_pairs.value IS 'Credited points at the price of the terms, without bonuses, in millionths.';
COMMENT ON COLUMN figure_pairs.taken_back IS 'Undos and reversals.';
COMMENT ON COLUMN figure_pairs.released IS 'Conversions between two ledgers that came to nothing, by the day they ended.';

CREATE TABLE figure_waits (
    day          date     NOT NULL,
    from_partner text     NOT NULL,
    to_partner   text     NOT NULL,
    step         smallint NOT NULL CONSTRAINT figure_waits_step_range CHECK (step BETWEEN 0 AND 200),
    conversions  bigint   NOT NULL CONSTRAINT figure_waits_conversions_positive CHECK (conversions > 0),
    CONSTRAINT figure_waits_key PRIMARY KEY (day, from_partner, to_partner, step)
);
COMMENT ON TABLE figure_waits IS 'How long conversions between two ledgers took from accepted to posted, in steps of a quarter of a doubling.';
COMMENT ON COLUMN figure_waits.step IS 'Took at most 2^(step / 4) milliseconds of business time, and more than one step less.';

CREATE TABLE figure_benefits (
    day        date   NOT NULL,
    benefit_id uuid   NOT NULL,
    brand      text   NOT NULL,
    giver      text   NOT NULL,
    redeemed   bigint NOT NULL,
    taken_back bigint NOT NULL,
    cost       bigint NOT NULL,
    CONSTRAINT figure_benefits_key PRIMARY KEY (day, benefit_id, brand)
);
COMMENT ON TABLE figure_benefits IS 'Uses of vouchers by day, benefit and the brand whose member it was; cost is what settled, in millionths.';

CREATE TABLE figure_members (
    month       date    NOT NULL CONSTRAINT figure_members_month_first CHECK (extract(day FROM month) = 1),
    account_id  uuid    NOT NULL,
    partner     text    NOT NULL,
    conversions integer NOT NULL,
    CONSTRAINT figure_members_key PRIMARY KEY (month, account_id)
);
COMMENT ON TABLE figure_members IS 'Who turned points into another brand''s in a month, and how often, less what was undone.';

CREATE TABLE activity_months (
    month      date   NOT NULL CONSTRAINT activity_months_month_first CHECK (extract(day FROM month) = 1),
    account_id uuid   NOT NULL,
    currency   text   NOT NULL,
    partner    text   NOT NULL,
    purchases  bigint NOT NULL CONSTRAINT activity_months_purchases_range CHECK (purchases >= 0),
    amount     bigint NOT NULL CONSTRAINT activity_months_amount_range CHECK (amount >= 0),
    CONSTRAINT activity_months_key PRIMARY KEY (month, account_id, currency)
);
COMMENT ON TABLE activity_months IS 'What a member spent with its brand in a month, of the activities that have an amount; in millionths. Kept by a trigger, so that it is their sum whoever writes.';

CREATE FUNCTION activity_months_keep() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER activity_months_keep AFTER INSERT OR DELETE ON activities FOR EACH ROW EXECUTE FUNCTION activity_months_keep();
INSERT INTO activity_months
    SELECT date_trunc('month', occurred_at AT TIME ZONE (SELECT zone FROM alliance))::date, account_id, currency, min(partner), count(*), sum(amount)
    FROM activities WHERE amount IS NOT NULL GROUP BY 1, 2, 3;

CREATE TABLE figure_months (
    month        date        NOT NULL CONSTRAINT figure_months_month_first CHECK (extract(day FROM month) = 1),
    partner      text        NOT NULL,
    linked       bigint      NOT NULL,
    converted    bigint      NOT NULL,
    bought       bigint      NOT NULL,
    again        bigint      NOT NULL,
    before       bigint      NOT NULL,
    kept         bigint      NOT NULL,
    spent        bigint      NOT NULL,
    spent_linked bigint      NOT NULL,
    at           timestamptz NOT NULL,
    CONSTRAINT figure_months_key PRIMARY KEY (month, partner)
);
COMMENT ON TABLE figure_months IS 'Members of a brand in a month, worked out now and then: with a million of them it takes seconds.';
COMMENT ON COLUMN figure_months.at IS 'Business time as of which links were taken: the month''s end once it is over.';

CREATE TABLE figure_bounds (
    kpi      text        NOT NULL CONSTRAINT figure_bounds_kpi_plain CHECK (kpi ~ '^[a-z][a-z_]{1,31}$'),
    partner  text        NOT NULL CONSTRAINT figure_bounds_partner_plain CHECK (partner = '' OR partner ~ '^[a-z][a-z0-9-]{1,31}$'),
    at_least bigint,
    at_most  bigint,
    set_by   text        NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT figure_bounds_key PRIMARY KEY (kpi, partner),
    CONSTRAINT figure_bounds_in_order CHECK (at_least IS NULL OR at_most IS NULL OR at_least <= at_most)
);
COMMENT ON TABLE figure_bounds IS 'Where the operator has said that a figure is to stay, for one brand or, with an empty partner, for each; both bounds NULL says nowhere.';
